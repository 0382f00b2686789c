//! Which key counted when: old receipts verified with no server.
//!
//! Every key that is added, retired or revoked is an entry, so a proved set of `key_event` entries is the keys'
//! history in the order of the log. A signature counts if its key was added before the receipt was logged and no
//! retirement stands between; its own `iat` doesn't matter, so a stolen key can't be dated back. What a history can't
//! show by itself is that no event is missing from it: that is what the dense sequence of a whole evidence pack shows.

use std::collections::BTreeMap;

use domain::receipt::{EvidenceLevel, Report};

use crate::entry::body::{Body, KeyChange, KeyEvent, Receipt};
use crate::policy::Policy;
use crate::proof::{Proof, ProofFileError, Verified, WhyNot, verify_proof};
use crate::token::{Refusal, RegisteredKey, Said, Unverified, VerifiedReceipt, verify_statement};

/// The changes of all keys, as far as they were proved.
#[derive(Debug, Clone, Default)]
pub struct KeyHistory(BTreeMap<(String, String), Vec<Change>>);

#[derive(Debug, Clone)]
struct Change {
    index: u64,
    event: KeyChange,
    key: RegisteredKey,
}

/// A line of a keys file: a `key_event` entry and the file that proves it.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyLine {
    /// The entry's bytes, which are JSON, as a text.
    pub entry: String,
    /// Its `.tlog-proof`.
    pub proof: String,
}

/// A key event that can't be part of a history.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// Not a line of a keys file.
    #[error("a line of JSON with `entry` and `proof` was expected")]
    Line(#[from] serde_json::Error),
    /// Its proof can't be read.
    #[error("the proof can't be read")]
    File(#[from] ProofFileError),
    /// Its proof does not hold.
    #[error("the proof does not hold")]
    Proof(#[from] WhyNot),
    /// Another kind of entry.
    #[error("the entry is not a key event")]
    Kind,
    /// The `kid` is not the thumbprint of the key beside it.
    #[error("the event's `kid` is not the thumbprint of its key")]
    Thumbprint,
}

/// A keys file that can't be used.
#[derive(Debug, thiserror::Error)]
#[error("keys, line {line}")]
pub struct HistoryError {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong with it.
    #[source]
    pub why: EventError,
}

/// Why no key counted at that place of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoKey {
    /// The history has no such key of this issuer.
    #[error("the history has no such key of this issuer")]
    Unknown,
    /// It was added only later.
    #[error("the key was added only after the receipt was logged")]
    NotYet,
    /// It had been retired or revoked.
    #[error("the key was retired or revoked before the receipt was logged")]
    Ended,
}

/// A key that counted.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    /// The key.
    pub key: &'a RegisteredKey,
    /// Where in the log it was revoked afterwards, if it was: then somebody should look at what it had signed.
    pub revoked_at: Option<u64>,
}

/// A logged receipt that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedReceipt {
    /// Who said what.
    pub receipt: VerifiedReceipt,
    /// To whom it was said.
    pub audience: String,
    /// Where in the log its key was revoked afterwards, if it was.
    pub revoked_at: Option<u64>,
}

/// Why a logged receipt does not hold.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptFault {
    /// Another kind of entry.
    #[error("the entry is of another kind")]
    Kind,
    /// The token does not hold.
    #[error("the token does not hold")]
    Token(#[from] Refusal),
    /// No key counted.
    #[error(transparent)]
    Key(#[from] NoKey),
    /// The entry says something about the token that the token does not say.
    #[error("the entry names another task, request, level or router than its token")]
    Contradiction,
}

impl KeyHistory {
    /// Reads a keys file: JSON lines of [`KeyLine`], each proved under the policy.
    pub fn parse(text: &str, policy: &Policy) -> Result<Self, HistoryError> {
        let mut history = Self::default();
        for (text, line) in text.lines().zip(1..) {
            let verified = prove(text, policy).map_err(|why| HistoryError { line, why })?;
            history.add(&verified).map_err(|why| HistoryError { line, why })?;
        }
        Ok(history)
    }

    /// Adds a proved event, in any order.
    pub fn add(&mut self, verified: &Verified) -> Result<(), EventError> {
        let Body::KeyEvent(KeyEvent {
            iss, kid, event, jwk, ..
        }) = &verified.entry.body
        else {
            return Err(EventError::Kind);
        };
        if jwk.thumbprint() != *kid {
            return Err(EventError::Thumbprint);
        }
        let key = RegisteredKey::new(iss, jwk);
        let changes = self.0.entry((iss.clone(), kid.clone())).or_default();
        let place = changes.partition_point(|change| change.index < verified.index);
        changes.insert(
            place,
            Change {
                index: verified.index,
                event: *event,
                key,
            },
        );
        Ok(())
    }

    /// The key, if it counted for what was logged at `index`.
    pub fn key_at(&self, issuer: &str, kid: &str, index: u64) -> Result<Standing<'_>, NoKey> {
        let changes = self.0.get(&(issuer.to_owned(), kid.to_owned())).ok_or(NoKey::Unknown)?;
        let (before, after) = changes.split_at(changes.partition_point(|change| change.index < index));
        let last = before.last().ok_or(NoKey::NotYet)?;
        if last.event != KeyChange::Added {
            return Err(NoKey::Ended);
        }
        let revoked = after.iter().find(|change| change.event == KeyChange::Revoked);
        Ok(Standing {
            key: &last.key,
            revoked_at: revoked.map(|change| change.index),
        })
    }
}

fn prove(line: &str, policy: &Policy) -> Result<Verified, EventError> {
    let KeyLine { entry, proof } = serde_json::from_str(line)?;
    let proof: Proof = proof.parse()?;
    Ok(verify_proof(entry.as_bytes(), &proof, policy)?)
}

/// Checks the token in a proved `receipt` entry under the key that counted when it was logged. Without an audience
/// the token's own is taken, and returned to be looked at.
pub fn verify_logged(
    verified: &Verified,
    history: &KeyHistory,
    audience: Option<&str>,
) -> Result<LoggedReceipt, ReceiptFault> {
    let Body::Receipt(body) = &verified.entry.body else {
        return Err(ReceiptFault::Kind);
    };
    let token = Unverified::parse(body.jws.as_bytes())?;
    let Standing { key, revoked_at } = history.key_at(token.issuer(), token.kid(), verified.index)?;
    let audience = audience.unwrap_or(token.audience()).to_owned();
    let receipt = token.verify(key, &audience)?;
    let same = receipt.report.task() == body.task && Some(receipt.request) == verified.entry.request;
    if same && level_fits(body, &receipt.report) {
        Ok(LoggedReceipt {
            receipt,
            audience,
            revoked_at,
        })
    } else {
        Err(ReceiptFault::Contradiction)
    }
}

/// A logged statement of ours that holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedStatement {
    /// Who said it: the router's public URL.
    pub issuer: String,
    /// With which key.
    pub kid: String,
    /// To whom it was said.
    pub audience: String,
    /// Where in the log its key was revoked afterwards, if it was.
    pub revoked_at: Option<u64>,
}

/// Checks the token in a proved `statement` entry under the key that counted when it was logged, and that the entry
/// says of it what it says. `issuer` is the public URL of the router; not said, the token's own is taken, and returned
/// to be looked at.
pub fn verify_stated(
    verified: &Verified,
    history: &KeyHistory,
    issuer: Option<&str>,
) -> Result<LoggedStatement, ReceiptFault> {
    let Body::Statement(body) = &verified.entry.body else {
        return Err(ReceiptFault::Kind);
    };
    let token = Unverified::parse(body.jws.as_bytes())?;
    if issuer.is_some_and(|issuer| issuer != token.issuer()) {
        return Err(ReceiptFault::Contradiction);
    }
    let Standing { key, revoked_at } = history.key_at(token.issuer(), token.kid(), verified.index)?;
    let said = verify_statement(body.jws.as_bytes(), key, token.audience())?;
    let logged = Said::Stated {
        task: body.task,
        kind: body.kind,
        approver: body.approver,
    };
    if said == logged && Some(token.request()) == verified.entry.request {
        Ok(LoggedStatement {
            issuer: token.issuer().to_owned(),
            kid: token.kid().to_owned(),
            audience: token.audience().to_owned(),
            revoked_at,
        })
    } else {
        Err(ReceiptFault::Contradiction)
    }
}

/// An acknowledgement shows no more than that; what is declared may have been verified by asking again.
fn level_fits(body: &Receipt, report: &Report) -> bool {
    match report.level() {
        EvidenceLevel::Declared => matches!(body.level, EvidenceLevel::Declared | EvidenceLevel::Verified),
        level => body.level == level,
    }
}

#[cfg(test)]
mod tests {
    use domain::id::{KeyId, TaskId};
    use uuid::Uuid;

    use super::*;
    use crate::entry::Entry;
    use crate::entry::tests::{entry, receipt};
    use crate::jwk::{Algorithm, TokenKey};
    use crate::leaf::{Leaf, Opening};
    use crate::merkle::grow::Edge;
    use crate::merkle::grow::tests::Rows;
    use crate::merkle::prove::{inclusion_needs, prove_inclusion};
    use crate::note::Checkpoint;
    use crate::note::tests::log;
    use crate::token::sign::{Claims, sign_report};

    const ISSUER: &str = "https://nablus-sweets.example";
    const AUDIENCE: &str = "https://router.example";

    fn key() -> TokenKey {
        TokenKey::new(Algorithm::EdDsa, &[7; 32]).unwrap()
    }

    fn change(event: KeyChange) -> Body {
        let jwk = key().jwk();
        let id = KeyId::from_uuid(Uuid::from_u128(12));
        KeyEvent {
            key: id,
            iss: ISSUER.into(),
            kid: jwk.thumbprint(),
            event,
            jwk,
        }
        .into()
    }

    fn signed() -> Body {
        let body = receipt();
        let (request, issued_at) = (entry(body.clone()).request.unwrap(), body.received_at);
        let jti = Uuid::from_u128(3);
        let claims = Claims {
            issuer: ISSUER,
            audience: AUDIENCE,
            issued_at,
            occurred_at: None,
            jti,
            request,
        };
        let report = Report::Completed(domain::receipt::Completion {
            task: body.task,
            task_digest: [1; 32],
            outcome: domain::receipt::Outcome::NotFound,
            results: vec![],
            artifact: None,
            attachments: vec![],
        });
        Receipt {
            jws: sign_report(&claims, &report, &key()),
            ..body
        }
        .into()
    }

    /// A log of these bodies, and for each its entry with the file that proves it.
    fn logged(bodies: Vec<Body>) -> Vec<KeyLine> {
        let entries: Vec<Entry> = bodies.into_iter().map(entry).collect();
        let openings: Vec<Opening> = (entries.iter().zip(1..))
            .map(|(entry, controller_seq)| Opening {
                salt: [9; 32],
                entry_type: entry.entry_type(),
                controller: entry.controller,
                controller_seq,
            })
            .collect();
        let leaves = entries
            .iter()
            .zip(&openings)
            .map(|(entry, opening)| Leaf::commit(opening, &entry.encode()).hash());
        let (mut edge, mut rows) = (Edge::default(), Rows::default());
        rows.write(edge.append(leaves));
        let (size, root) = (edge.size(), edge.root());
        let file = |(index, opening): (u64, &Opening)| Proof {
            extra: Some(opening.bytes().to_vec()),
            index,
            steps: prove_inclusion(index, size, &rows.read(&inclusion_needs(index, size).unwrap())).unwrap(),
            checkpoint: Checkpoint {
                origin: "log.example/dsr".into(),
                size,
                root,
            }
            .sign(&log()),
        };
        let texts = entries.iter().map(|entry| String::from_utf8(entry.encode()).unwrap());
        let files = (0..).zip(&openings).map(file);
        texts
            .zip(files)
            .map(|(entry, proof)| KeyLine {
                entry,
                proof: proof.to_string(),
            })
            .collect()
    }

    fn policy() -> Policy {
        Policy::of_log(log().key().clone())
    }

    /// What becomes of the receipt in this log, with the events around it as the keys file.
    fn check(bodies: Vec<Body>) -> Result<LoggedReceipt, ReceiptFault> {
        let (mut keys, mut receipts) = (String::new(), vec![]);
        for line in logged(bodies) {
            let verified = prove(&serde_json::to_string(&line).unwrap(), &policy()).unwrap();
            match verified.entry.body {
                Body::Receipt(_) => receipts.push(verified),
                _ => keys = keys + &serde_json::to_string(&line).unwrap() + "\n",
            }
        }
        let history = KeyHistory::parse(&keys, &policy()).unwrap();
        verify_logged(&receipts[0], &history, None)
    }

    #[test]
    fn a_key_counts_between_its_addition_and_its_end() {
        use KeyChange::{Added, Retired, Revoked};
        let ok = check(vec![change(Added), signed(), change(Retired)]).unwrap();
        assert_eq!((ok.audience.as_str(), ok.revoked_at), (AUDIENCE, None));
        assert_eq!(ok.receipt.issuer, ISSUER);
        assert_eq!(
            check(vec![change(Added), signed(), change(Revoked)])
                .unwrap()
                .revoked_at,
            Some(2)
        );
        let again = vec![change(Added), change(Retired), change(Added), signed()];
        assert_eq!(check(again).unwrap().revoked_at, None);
        for (bodies, why) in [
            (vec![signed()], NoKey::Unknown),
            (vec![signed(), change(Added)], NoKey::NotYet),
            (vec![change(Added), change(Retired), signed()], NoKey::Ended),
            (vec![change(Added), change(Revoked), signed()], NoKey::Ended),
        ] {
            assert!(
                matches!(check(bodies), Err(ReceiptFault::Key(found)) if found == why),
                "{why}"
            );
        }
    }

    #[test]
    fn the_entry_may_not_say_more_than_its_token() {
        let Body::Receipt(good) = signed() else {
            panic!("a receipt")
        };
        let task = TaskId::from_uuid(Uuid::from_u128(77));
        let (level, jws) = (EvidenceLevel::Acknowledged, good.jws.replace('.', ".."));
        let refused = |body: Receipt| check(vec![change(KeyChange::Added), body.into()]).unwrap_err();
        assert!(matches!(
            refused(Receipt { task, ..good.clone() }),
            ReceiptFault::Contradiction
        ));
        assert!(matches!(
            refused(Receipt { level, ..good.clone() }),
            ReceiptFault::Contradiction
        ));
        assert!(matches!(
            refused(Receipt { jws, ..good }),
            ReceiptFault::Token(Refusal::Compact)
        ));
    }

    #[test]
    fn only_proved_key_events_make_a_history() {
        let mut lines = logged(vec![change(KeyChange::Added), signed()]);
        let text = |line: &KeyLine| serde_json::to_string(line).unwrap();
        let why = |text: &str| KeyHistory::parse(text, &policy()).unwrap_err().why;
        assert!(matches!(why(&text(&lines[1])), EventError::Kind));
        assert!(matches!(why("{}"), EventError::Line(_)));
        lines[0].entry = lines[0].entry.replace("added", "retired");
        assert!(matches!(why(&text(&lines[0])), EventError::Proof(WhyNot::Inclusion(_))));
        lines[0].proof.clear();
        assert!(matches!(why(&text(&lines[0])), EventError::File(_)));
        let Body::KeyEvent(event) = change(KeyChange::Added) else {
            panic!("a key event")
        };
        let other = KeyEvent {
            kid: "other".into(),
            ..event
        };
        assert!(matches!(
            why(&text(&logged(vec![other.into()])[0])),
            EventError::Thumbprint
        ));
    }
}
