//! The bytes of a request's sealed blob: who the person is and what they wrote.
//!
//! The form is JSON with a version, written and read here and nowhere else, so that the domain may be renamed
//! without touching a stored blob. A reader refuses a version or a member that it doesn't know: guessing would hand a
//! system half a person. The bytes are sealed by whoever holds the request's keys, under the field names below.

use std::borrow::Cow;

use domain::new_request::{Details, Interaction, Requester};
use domain::person::{Identity, IdentityKind, Personal, Proof, Relation, Subject};
use jiff::civil::Date;
use serde::{Deserialize, Serialize};

/// What the blob is sealed as, under the request's subject key.
pub const DETAILS: &str = "request.details";

/// What the caller's first answer is sealed as, under the request's evidence key: what we told is evidence, and a
/// repeat gets it for as long as the request can be proven.
pub const ANSWER: &str = "request.answer";

const VERSION: u8 = 1;

/// Why bytes are not a blob of this version; nothing of them is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SealedError {
    /// Of another version.
    #[error("the sealed details are of version {0}, and this program reads {VERSION}")]
    Version(u8),
    /// Not the form.
    #[error("the sealed details don't have the form of version {VERSION}")]
    Form,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Blob<'b> {
    v: u8,
    subject: Person<'b>,
    requester: Asking<'b>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    business: Option<Cow<'b, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    interaction: Option<When>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<Cow<'b, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Person<'b> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'b, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<Cow<'b, str>>,
    identities: Vec<Identifier<'b>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Identifier<'b> {
    kind: String,
    value: Cow<'b, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    raw: Option<Cow<'b, str>>,
    proof: Proof,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asking<'b> {
    relation: Relation,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    authority: Option<Cow<'b, str>>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum When {
    Day(Date),
    Month(Date),
    Between(Date, Date),
}

#[derive(Deserialize)]
struct Version {
    v: u8,
}

/// The bytes to seal.
#[must_use]
pub fn to_bytes(details: &Details) -> Vec<u8> {
    let blob = Blob {
        v: VERSION,
        subject: Person::from(&details.subject),
        requester: Asking {
            relation: details.requester.relation,
            authority: exposed(details.requester.authority.as_ref()),
        },
        business: exposed(details.business.as_ref()),
        interaction: details.interaction.map(When::from),
        description: exposed(details.description.as_ref()),
    };
    serde_json::to_vec(&blob).expect("texts, dates and words are JSON")
}

/// Reads what [`to_bytes`] wrote.
pub fn from_bytes(bytes: &[u8]) -> Result<Details, SealedError> {
    let Version { v } = serde_json::from_slice(bytes).map_err(|_| SealedError::Form)?;
    if v != VERSION {
        return Err(SealedError::Version(v));
    }
    let blob: Blob = serde_json::from_slice(bytes).map_err(|_| SealedError::Form)?;
    Ok(Details {
        subject: blob.subject.into_subject()?,
        requester: Requester {
            relation: blob.requester.relation,
            authority: blob.requester.authority.map(Personal::new),
        },
        business: blob.business.map(Personal::new),
        interaction: blob.interaction.map(Interaction::from),
        description: blob.description.map(Personal::new),
    })
}

fn exposed(text: Option<&Personal>) -> Option<Cow<'_, str>> {
    text.map(|text| Cow::Borrowed(text.expose()))
}

impl<'b> From<&'b Subject> for Person<'b> {
    fn from(subject: &'b Subject) -> Self {
        Self {
            name: exposed(subject.name.as_ref()),
            kind: subject.kind.as_deref().map(Cow::Borrowed),
            identities: subject.identities.iter().map(Identifier::from).collect(),
        }
    }
}

impl Person<'_> {
    fn into_subject(self) -> Result<Subject, SealedError> {
        let identities = self.identities.into_iter().map(Identifier::into_identity);
        Ok(Subject {
            name: self.name.map(Personal::new),
            kind: self.kind.map(Cow::into_owned),
            identities: identities.collect::<Result<_, _>>()?,
        })
    }
}

impl<'b> From<&'b Identity> for Identifier<'b> {
    fn from(identity: &'b Identity) -> Self {
        Self {
            kind: identity.kind.to_string(),
            value: Cow::Borrowed(identity.value.expose()),
            raw: exposed(identity.raw.as_ref()),
            proof: identity.proof,
        }
    }
}

impl Identifier<'_> {
    /// The value was normalised at the door; a later rule must not change what systems were told.
    fn into_identity(self) -> Result<Identity, SealedError> {
        let kind: IdentityKind = self.kind.parse().map_err(|_| SealedError::Form)?;
        Ok(Identity {
            kind,
            value: Personal::new(self.value),
            raw: self.raw.map(Personal::new),
            proof: self.proof,
        })
    }
}

impl From<Interaction> for When {
    fn from(interaction: Interaction) -> Self {
        match interaction {
            Interaction::Day(day) => Self::Day(day),
            Interaction::Month(first) => Self::Month(first),
            Interaction::Between(from, to) => Self::Between(from, to),
        }
    }
}

impl From<When> for Interaction {
    fn from(when: When) -> Self {
        match when {
            When::Day(day) => Self::Day(day),
            When::Month(first) => Self::Month(first),
            When::Between(from, to) => Self::Between(from, to),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details() -> Details {
        let identity = |kind: &str, raw| Identity::parse(kind.parse().unwrap(), raw, Proof::Verified).unwrap();
        Details {
            subject: Subject {
                name: Some(Personal::new("ليلى \"L\"")),
                kind: Some("customer".to_owned()),
                identities: vec![identity("phone", "+970 59 1234567"), identity("external:crm", "7")],
            },
            requester: Requester {
                relation: Relation::Guardian,
                authority: Some(Personal::new("mother")),
            },
            business: Some(Personal::new("Nablus Sweets")),
            interaction: Some(Interaction::Month(jiff::civil::date(2026, 5, 1))),
            description: Some(Personal::new("احذف بياناتي")),
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(from_bytes(&to_bytes(&details())), Ok(details()));
        let bare = Details {
            subject: Subject {
                name: None,
                kind: None,
                identities: vec![],
            },
            requester: Requester {
                relation: Relation::Myself,
                authority: None,
            },
            business: None,
            interaction: None,
            description: None,
        };
        let text = r#"{"v":1,"subject":{"identities":[]},"requester":{"relation":"self"}}"#;
        assert_eq!(String::from_utf8(to_bytes(&bare)).unwrap(), text);
        assert_eq!(from_bytes(text.as_bytes()), Ok(bare));
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let text = String::from_utf8(to_bytes(&details())).unwrap();
        let read = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            from_bytes(text.replace(from, to).as_bytes())
        };
        assert_eq!(read("\"v\":1", "\"v\":2"), Err(SealedError::Version(2)));
        assert_eq!(read("\"v\":1", "\"v\":1,\"extra\":1"), Err(SealedError::Form));
        assert_eq!(read("external:crm", "shoe size"), Err(SealedError::Form));
        assert_eq!(read("guardian", "cousin"), Err(SealedError::Form));
        assert_eq!(from_bytes(b"{}"), Err(SealedError::Form));
    }
}
