//! What a stored request makes others know: the ledger its entries, the planner and the followers their messages.
//!
//! The ids of one request's entries differ in their last byte only, so that they sort in the order in which they are
//! to be logged although they are of the same instant.

use domain::id::{ControllerId, EntryId, MessageId, RequestId};
use domain::person::Identity;
use domain::request::{Effect, StageName};
use evidence::entry::body::{Clock, ClockChange, IdentityMark, Intake, Stage};
use evidence::entry::{Body, Entry};
use jiff::Timestamp;
use keys::DataKey;
use proto::{Envelope, Happened, LifecycleEvent, RequestPublished};
use store::entries::EntryRow;
use store::outbox::OutboxRow;

use super::candidate::Candidate;
use crate::messages::{entry_row, outbox_row};

/// The version of a request that is accepted and nothing else.
const ACCEPTED: i64 = 1;

/// Its version once it was assessed, which is how it is stored.
pub(super) const ASSESSED: i64 = ACCEPTED + 1;

/// Everything that is told about a request, but for the number that only storing it gives.
#[derive(Debug)]
pub(super) struct Telling {
    intake: Intake,
    clock: Clock,
    /// Whose entries they are, and when.
    about: About,
    stage: Option<Stage>,
    pub(super) messages: Vec<OutboxRow>,
}

/// What every entry and message of one request shares.
#[derive(Debug, Clone, Copy)]
struct About {
    request: RequestId,
    controller: ControllerId,
    now: Timestamp,
    seed: [u8; 10],
}

impl Telling {
    /// `evidence` is the request's evidence key: entries hold identities only as HMACs under it.
    pub(super) fn new(candidate: &Candidate, evidence: &DataKey, now: Timestamp) -> Self {
        let about = About {
            request: candidate.id,
            controller: candidate.assessed.controller,
            now,
            seed: candidate.seed,
        };
        let effects = &candidate.assessed.effects;
        // In its own work's span, so that its messages carry its trace and not the batch's.
        let messages = candidate.span.in_scope(|| {
            let envelopes = effects.iter().filter_map(|effect| about.message(candidate, *effect));
            envelopes.map(|(id, envelope)| outbox_row(id, envelope)).collect()
        });
        Self {
            intake: intake(candidate, evidence),
            clock: clock(candidate),
            about,
            stage: effects.contains(&Effect::LogStage).then(|| stage(candidate)),
            messages,
        }
    }

    /// The entries of the request, once it has its number.
    pub(super) fn entries(&self, intake_seq: i64) -> Vec<EntryRow> {
        let intake = Intake {
            intake_seq: intake_seq.unsigned_abs(),
            ..self.intake.clone()
        };
        let always = [Body::from(intake), Body::from(self.clock.clone())];
        let numbered = always.into_iter().chain(self.stage.clone().map(Body::from)).zip(0..);
        numbered.map(|(body, place)| self.about.entry(body, place)).collect()
    }
}

impl About {
    /// Bytes of chance that sort by `place`.
    fn chance(self, place: u8) -> [u8; 10] {
        let mut bytes = self.seed;
        bytes[9] = place;
        bytes
    }

    fn entry(self, body: Body, place: u8) -> EntryRow {
        entry_row(&Entry {
            id: EntryId::new(self.now, self.chance(place)),
            controller: self.controller,
            request: Some(self.request),
            at: self.now,
            body,
        })
    }

    /// The message of an effect, where it has one. Their places come after those of the entries.
    fn message(self, candidate: &Candidate, effect: Effect) -> Option<(MessageId, Envelope)> {
        let id = |place| MessageId::new(self.now, self.chance(place));
        match effect {
            Effect::LogStage => Some((id(8), self.changed(candidate.assessed.stage, id(8)))),
            Effect::Publish => Some((id(9), self.published(candidate, id(9))?)),
            _ => None,
        }
    }

    fn changed(self, stage: StageName, message_id: MessageId) -> Envelope {
        let event = LifecycleEvent {
            message_id,
            occurred_at: self.now,
            request: self.request,
            controller: self.controller,
            request_version: ASSESSED,
            happened: Happened::StageChanged(stage),
        };
        event.envelope()
    }

    fn published(self, candidate: &Candidate, message_id: MessageId) -> Option<Envelope> {
        let (facts, assessed) = (&candidate.facts, &candidate.assessed);
        let instruction = assessed.instruction.as_ref()?;
        let published = RequestPublished {
            message_id,
            occurred_at: self.now,
            request: self.request,
            controller: self.controller,
            request_version: ASSESSED,
            right: facts.right,
            product: facts.product.clone(),
            channel: facts.channel,
            binding: facts.binding,
            instruction: instruction.id,
            mode: instruction.mode,
            received_at: facts.received_at,
            due_at: assessed.due_at,
            regime: assessed.clock.tables.regime.to_owned(),
        };
        Some(published.envelope())
    }
}

/// Its number is given by storing it; until then it is 0, which no request has.
fn intake(candidate: &Candidate, evidence: &DataKey) -> Intake {
    let facts = &candidate.facts;
    let mark = |identity: &Identity| IdentityMark {
        kind: identity.kind.clone(),
        hmac: evidence.identity_hmac(&identity.kind.to_string(), identity.value.expose()),
    };
    Intake {
        intake_seq: 0,
        right: facts.right,
        // A product that is no word is none of ours: doors take registered slugs only.
        product: facts.product.as_deref().and_then(|slug| slug.parse().ok()),
        channel: facts.channel,
        received_at: facts.received_at,
        identities: candidate.identities.iter().map(mark).collect(),
        assurance: facts.assurance.level,
    }
}

/// The clock runs from the moment at which the person asked, whatever the request waits for.
fn clock(candidate: &Candidate) -> Clock {
    let (assessed, tables) = (&candidate.assessed, candidate.assessed.clock.tables);
    Clock {
        event: ClockChange::Start,
        start: candidate.facts.received_at,
        due_at: assessed.due_at,
        zone: assessed.clock.zone.parse().expect("the names of zones are words"),
        regime: tables.regime.parse().expect("the names of laws are words"),
        regime_version: tables.regime_version.parse().expect("laws have editions"),
        calendar_version: tables.calendar_version.parse().expect("tables have editions"),
        tzdb_version: tables.tzdb_version.parse().ok(),
    }
}

fn stage(candidate: &Candidate) -> Stage {
    Stage {
        from: StageName::Accepted,
        to: candidate.assessed.stage,
        version: ASSESSED.unsigned_abs(),
        reason: candidate
            .assessed
            .reason
            .map(|reason| reason.parse().expect("reasons are words")),
    }
}

#[cfg(test)]
mod tests {
    use domain::regime::{OwnDays, Place, Regime};
    use evidence::entry::{Edition, Word};

    /// What [`super::clock`] takes for granted, of every name that a registration may hold.
    #[test]
    fn whatever_a_clock_is_told_with_can_be_written() {
        for law in Regime::all().map(Regime::basis) {
            law.regime.parse::<Word>().unwrap();
            for edition in [law.regime_version, law.calendar_version, law.tzdb_version] {
                edition.parse::<Edition>().unwrap();
            }
        }
        let zones: Vec<_> = jiff::tz::TimeZoneDatabase::bundled()
            .available()
            .map(|zone| zone.to_string())
            .collect();
        assert!(zones.len() > 400);
        for zone in zones {
            assert!(Place::new(&zone, "PS", &OwnDays::default()).is_ok(), "{zone}");
            zone.parse::<Word>().unwrap();
        }
    }
}
