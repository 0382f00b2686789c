//! What a new request waits for, and when it must be answered.
//!
//! A pure function of the request, the registry's picture and the instant: which controller is certain, whether what
//! was proven about the requester is enough for the right, and which instruction holds. [`Stage::step`] turns that
//! into the request's first stage, so that a request for which nothing is lacking is stored as ready at once.
//! Nothing is refused on its merits here: what is lacking makes it wait, visibly, with its clock running.

use domain::id::ControllerId;
use domain::new_request::{NewRequest, Target};
use domain::person::Relation;
use domain::regime::{Basis, ClockError, TermsError};
use domain::registration::{Controller, Instruction};
use domain::request::{Effect, Event, Gate, Stage, StageName};
use jiff::Timestamp;
use store::registry::Directory;

/// What is known of a new request besides what it says itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Assessed {
    /// Under whom it counts: the controller, or the operator while unmatched.
    pub(crate) controller: ControllerId,
    /// Its first stage.
    pub(crate) stage: StageName,
    /// What must happen because of that stage.
    pub(crate) effects: Vec<Effect>,
    /// Why it waits, as the log says it; `None` where nothing is lacking.
    pub(crate) reason: Option<&'static str>,
    /// The instruction that holds; `None` while unmatched.
    pub(crate) instruction: Option<Instruction>,
    /// The law, its version, and the zone in which days end.
    pub(crate) clock: ClockBasis,
    /// When the answer is due.
    pub(crate) due_at: Timestamp,
    /// Why then.
    pub(crate) due_reason: String,
}

/// What the due date was computed with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClockBasis {
    pub(crate) tables: Basis,
    pub(crate) zone: String,
}

/// Why a request can't be assessed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AssessError {
    /// No such controller is registered.
    #[error("the controller is not registered")]
    UnknownController,
    /// Nobody would answer for a request without a controller.
    #[error("the registry has no operator; register one with `quittance apply`")]
    NoOperator,
    /// The controller's law and contract set no term for this right.
    #[error("no term runs for this right")]
    NoTerm(#[source] ClockError),
    /// A registration that should have been refused.
    #[error("a controller's registration has no clock")]
    Misregistered(#[source] TermsError),
}

/// Looks at a new request.
pub(crate) fn assess(directory: &Directory, request: &NewRequest) -> Result<Assessed, AssessError> {
    let controller = responsible(directory, request.facts.target)?;
    let right = request.facts.right;
    let terms = controller.terms().map_err(AssessError::Misregistered)?;
    let due = terms
        .due(right, request.facts.received_at, &[])
        .map_err(AssessError::NoTerm)?;
    let (gate, reason) = gate(controller, request);
    let (stage, effects) = Stage::Accepted
        .step(Event::Assessed(gate))
        .expect("a new request takes any assessment");
    let matched = gate != Gate::Unmatched;
    Ok(Assessed {
        controller: controller.id,
        stage: stage.name(),
        effects,
        reason,
        instruction: matched.then(|| directory.instruction_or_default(controller.id, right)),
        clock: ClockBasis {
            tables: terms.regime.basis(),
            zone: controller.zone.clone(),
        },
        due_at: due.at,
        due_reason: due.reason,
    })
}

fn responsible(directory: &Directory, target: Target) -> Result<&Controller, AssessError> {
    match target {
        Target::Certain(id) => directory.controller(id).ok_or(AssessError::UnknownController),
        Target::ToBeMatched => directory.operator().ok_or(AssessError::NoOperator),
    }
}

/// The first thing that is lacking. Whoever asks for somebody else takes a path of its own: what they can show about
/// themselves decides nothing, the controller does.
fn gate(controller: &Controller, request: &NewRequest) -> (Gate, Option<&'static str>) {
    let facts = &request.facts;
    match request.details.requester.relation {
        _ if facts.target == Target::ToBeMatched => (Gate::Unmatched, Some("business")),
        Relation::Myself if facts.assurance.level < controller.assurance_for(facts.right) => {
            (Gate::Unverified, Some("assurance"))
        }
        Relation::Myself => (Gate::Open, None),
        other => (Gate::AwaitingController, Some(other.as_str())),
    }
}
