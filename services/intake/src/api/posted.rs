//! The body of `POST /v1/requests`, and what is checked of it.
//!
//! Unknown members are refused, and every impossible value is pointed at, all at once. Values are never repeated in an
//! answer: a caller's log is no place for them either.

use std::fmt::Display;

use domain::assurance::{Assurance, AssuranceLevel};
use domain::id::ControllerId;
use domain::new_request::{
    DESCRIPTION_LENGTH_MAX, Details, Door, Facts, IDENTITIES_MAX, Interaction, NewRequest, Requester, Target,
    WHOLE_BYTES_MAX,
};
use domain::person::{Identity, IdentityError, Personal, Proof, Relation, Subject};
use domain::right::{Channel, Right};
use evidence::digest::sha256;
use evidence::entry::Word;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use platform::problem::PointerError;
use serde::Deserialize;

use crate::locale::is_tag;

/// No law lets anybody wait that long with passing a request on; what is older is a mistake.
const OLDEST: SignedDuration = SignedDuration::from_hours(90 * 24);

/// Two machines' clocks agree within this, or one of them is broken.
const SKEW: SignedDuration = SignedDuration::from_mins(5);

/// A name, and a word of the caller's.
const NAME_LENGTH_MAX: usize = 200;
const KIND_LENGTH_MAX: usize = 40;

/// Enough to say on what authority somebody asks.
const AUTHORITY_LENGTH_MAX: usize = 1_000;

/// A request as a caller sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Posted {
    right: Right,
    controller: Whom,
    product: Option<String>,
    channel: Option<Channel>,
    subject: Person,
    interaction: Option<When>,
    description: Option<String>,
    requester: Option<Asking>,
    assurance: Option<Shown>,
    jurisdiction: Option<String>,
    locale: Option<String>,
    received_at: Option<Timestamp>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whom {
    id: Option<ControllerId>,
    name: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Person {
    name: Option<String>,
    kind: Option<String>,
    #[serde(default)]
    identities: Vec<Identifier>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Identifier {
    kind: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct When {
    approximately: Approximately,
}

#[derive(Deserialize)]
#[serde(
    untagged,
    deny_unknown_fields,
    expecting = "must be a date, a month, or an object with two dates, from and to"
)]
enum Approximately {
    Text(String),
    Span { from: Date, to: Date },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asking {
    relation: Relation,
    authority: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Shown {
    level: AssuranceLevel,
    evidence: Option<String>,
}

/// What is wrong, place by place.
#[derive(Default)]
struct Faults(Vec<PointerError>);

impl Faults {
    fn add(&mut self, pointer: impl Into<String>, detail: impl Display) {
        let (pointer, detail) = (pointer.into(), detail.to_string());
        self.0.push(PointerError { pointer, detail });
    }

    /// Personal text of a length, without control characters other than those of a text with lines.
    fn text(&mut self, pointer: &str, text: Option<String>, length_max: usize) -> Option<Personal> {
        let text = text?;
        let length = text.chars().count();
        if !(1..=length_max).contains(&length) || text.trim().is_empty() {
            self.add(pointer, format!("must have 1 to {length_max} characters"));
        } else if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            self.add(pointer, "must not have control characters");
        }
        Some(Personal::new(text))
    }

    /// A word whose letters are limited.
    fn word(&mut self, pointer: &str, word: Option<&String>, fits: impl Fn(&str) -> bool, what: &str) {
        if word.is_some_and(|word| !fits(word)) {
            self.add(pointer, format!("must be {what}"));
        }
    }
}

impl Posted {
    /// The request, or everything that is wrong with it.
    pub(super) fn into_request(self, now: Timestamp) -> Result<NewRequest, Vec<PointerError>> {
        let mut faults = Faults::default();
        self.check_words(&mut faults);
        let request = NewRequest {
            facts: Facts {
                right: self.right,
                target: target(&self.controller, &mut faults),
                product: self.product,
                channel: self.channel.unwrap_or(Channel::Api),
                binding: None,
                door: Door::Rest,
                assurance: assurance(self.assurance, now),
                jurisdiction: self.jurisdiction,
                locale: self.locale,
                received_at: received_at(self.received_at, now, &mut faults),
            },
            details: Details {
                subject: subject(self.subject, &mut faults),
                requester: requester(self.requester, &mut faults),
                business: faults.text("/controller/name", self.controller.name, NAME_LENGTH_MAX),
                interaction: self.interaction.and_then(|when| interaction(&when, &mut faults)),
                description: faults.text("/description", self.description, DESCRIPTION_LENGTH_MAX),
            },
        };
        if faults.0.is_empty() && request.details.whole_length() > WHOLE_BYTES_MAX {
            let room = format!("with name and authority, must have at most {WHOLE_BYTES_MAX} bytes in JSON");
            faults.add("/subject/identities", room);
        }
        if faults.0.is_empty() {
            Ok(request)
        } else {
            Err(faults.0)
        }
    }

    fn check_words(&self, faults: &mut Faults) {
        let slug = |word: &str| word.parse::<Word>().is_ok();
        faults.word("/product", self.product.as_ref(), slug, "a product's slug");
        let country = |word: &str| word.len() == 2 && word.bytes().all(|byte| byte.is_ascii_uppercase());
        faults.word(
            "/jurisdiction",
            self.jurisdiction.as_ref(),
            country,
            "a country's two capital letters",
        );
        faults.word(
            "/locale",
            self.locale.as_ref(),
            is_tag,
            "a language tag such as ar or en-GB",
        );
    }
}

/// The id is certain; a name alone has to be matched.
fn target(whom: &Whom, faults: &mut Faults) -> Target {
    if let (None, None) = (whom.id, &whom.name) {
        faults.add("/controller", "must have an id or a name");
    }
    whom.id.map_or(Target::ToBeMatched, Target::Certain)
}

fn assurance(shown: Option<Shown>, now: Timestamp) -> Assurance {
    Assurance {
        level: shown.as_ref().map_or(AssuranceLevel::None, |shown| shown.level),
        at: now,
        evidence: shown
            .and_then(|shown| shown.evidence)
            .map(|evidence| sha256(evidence.as_bytes())),
    }
}

/// To the microsecond, as it is kept. A caller's clock that is a little ahead starts ours now.
fn received_at(said: Option<Timestamp>, now: Timestamp, faults: &mut Faults) -> Timestamp {
    let said = said.unwrap_or(now);
    if said > now + SKEW {
        faults.add("/received_at", "must not be in the future");
    }
    if said < now - OLDEST {
        faults.add("/received_at", "must not be more than 90 days ago");
    }
    crate::doors::truncated(said).min(now)
}

fn subject(person: Person, faults: &mut Faults) -> Subject {
    if person.name.is_none() && person.identities.is_empty() {
        faults.add("/subject", "must have a name or an identity");
    }
    if person.identities.len() > IDENTITIES_MAX {
        faults.add(
            "/subject/identities",
            format!("must have at most {IDENTITIES_MAX} identities"),
        );
    }
    let kind = |word: &str| {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_' || byte == b'-';
        (1..=KIND_LENGTH_MAX).contains(&word.len()) && word.bytes().all(legal)
    };
    faults.word(
        "/subject/kind",
        person.kind.as_ref(),
        kind,
        "a word of a-z, 0-9, _ and -",
    );
    let numbered = person.identities.into_iter().take(IDENTITIES_MAX).enumerate();
    Subject {
        name: faults.text("/subject/name", person.name, NAME_LENGTH_MAX),
        kind: person.kind,
        identities: numbered.filter_map(|(at, one)| identity(at, &one, faults)).collect(),
    }
}

fn identity(at: usize, one: &Identifier, faults: &mut Faults) -> Option<Identity> {
    let parsed = one
        .kind
        .parse()
        .and_then(|kind| Identity::parse(kind, &one.value, Proof::Stated));
    let member = |error: &IdentityError| if *error == IdentityError::Kind { "kind" } else { "value" };
    parsed
        .map_err(|error| faults.add(format!("/subject/identities/{at}/{}", member(&error)), error))
        .ok()
}

/// Whoever asks for somebody else says on what authority.
fn requester(asking: Option<Asking>, faults: &mut Faults) -> Requester {
    let Asking { relation, authority } = asking.unwrap_or(Asking {
        relation: Relation::Myself,
        authority: None,
    });
    if relation != Relation::Myself && authority.is_none() {
        faults.add(
            "/requester/authority",
            "is needed unless the person asks for themselves",
        );
    }
    Requester {
        relation,
        authority: faults.text("/requester/authority", authority, AUTHORITY_LENGTH_MAX),
    }
}

fn interaction(when: &When, faults: &mut Faults) -> Option<Interaction> {
    const PLACE: &str = "/interaction/approximately";
    let found = match &when.approximately {
        Approximately::Text(text) => day_or_month(text),
        Approximately::Span { from, to } => (from <= to).then_some(Interaction::Between(*from, *to)),
    };
    if found.is_none() {
        faults.add(PLACE, "must be a date, a month, or two dates in their order");
    }
    found
}

/// `2026-05-04`, or `2026-05`.
fn day_or_month(text: &str) -> Option<Interaction> {
    let day = text.parse().ok().map(Interaction::Day);
    day.or_else(|| format!("{text}-01").parse().ok().map(Interaction::Month))
}
