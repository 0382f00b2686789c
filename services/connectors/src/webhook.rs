//! A signed webhook (Standard Webhooks; contracts.md §4).
//!
//! The body is the same bytes on every attempt; the timestamp and so the signature are this attempt's. Nothing but 2xx
//! is success, and a redirect is an answer like any other.

use jiff::Timestamp;
use platform::egress::{Answer, BodyEnd, Egress, EgressError, Limits};
use platform::webhook::{self, SigningKey};

use crate::Attempted;

/// What is sent, and where.
#[derive(Debug, Clone, Copy)]
pub struct Handover<'a> {
    /// The system's registered address.
    pub url: &'a str,
    /// Names the message for ever: the task's id, for a task.
    pub id: &'a str,
    /// The rendered bytes.
    pub body: &'a [u8],
    /// The system's secrets and its controller's keys; several during a rotation.
    pub keys: &'a [SigningKey],
    /// The time of this attempt.
    pub at: Timestamp,
    /// The trace that the attempt belongs to.
    pub trace: &'a [(String, String)],
}

/// The type of what a receipt is answered as (RFC 8417 §7.2).
const RECEIPT: &str = "application/secevent+jwt";

/// Does one attempt.
pub async fn attempt(egress: &Egress, handover: Handover<'_>, limits: Limits) -> Attempted {
    if handover.keys.is_empty() {
        return Attempted::Misregistered;
    }
    let Ok(signed) = webhook::sign(handover.keys, handover.id, handover.at, handover.body) else {
        return Attempted::Misregistered;
    };
    let digest = webhook::content_digest(handover.body);
    let plain = [
        ("content-type", "application/json"),
        ("content-digest", digest.as_str()),
    ];
    let signed = signed.iter().map(|(name, value)| (*name, value.as_str()));
    let trace = handover
        .trace
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()));
    let headers: Vec<(&str, &str)> = plain.into_iter().chain(signed).chain(trace).collect();
    judge(egress.post(handover.url, &headers, handover.body, limits).await)
}

fn judge(outcome: Result<Answer, EgressError>) -> Attempted {
    match outcome {
        Ok(answer) if (200..300).contains(&answer.status) => Attempted::Delivered {
            status: answer.status,
            receipt: receipt(answer),
        },
        Ok(answer) => Attempted::Answered {
            status: answer.status,
            retry_after: answer.retry_after,
        },
        Err(EgressError::Forbidden(_)) => Attempted::Misregistered,
        Err(EgressError::Theirs(fault)) => Attempted::Failed(fault),
        Err(EgressError::Ours(fault)) => Attempted::Ours(fault),
    }
}

/// Half a receipt is none; its owner still has the task, and will bring it.
fn receipt(answer: Answer) -> Option<Vec<u8>> {
    let kind = answer.content_type?;
    let kind = kind.split(';').next().unwrap_or_default().trim();
    let whole = answer.body_end == BodyEnd::Complete && !answer.body.is_empty();
    (whole && kind.eq_ignore_ascii_case(RECEIPT)).then_some(answer.body)
}

#[cfg(test)]
mod tests {
    use platform::egress::Theirs;

    use super::*;

    fn answer(status: u16, content_type: &str, body_end: BodyEnd) -> Answer {
        Answer {
            status,
            content_type: Some(content_type.to_owned()),
            retry_after: None,
            body: b"a.b.c".to_vec(),
            body_end,
        }
    }

    #[test]
    fn only_a_whole_token_of_the_right_type_is_a_receipt() {
        let receipt = |content_type, body_end| match judge(Ok(answer(202, content_type, body_end))) {
            Attempted::Delivered { receipt, .. } => receipt.is_some(),
            other => panic!("{other:?}"),
        };
        assert!(receipt("application/secevent+jwt", BodyEnd::Complete));
        assert!(receipt("Application/SecEvent+JWT; charset=us-ascii", BodyEnd::Complete));
        assert!(!receipt("application/json", BodyEnd::Complete));
        assert!(!receipt("application/secevent+jwt", BodyEnd::Cut));
    }

    #[test]
    fn nothing_but_2xx_is_success() {
        for status in [199, 301, 302, 400, 410, 429, 500] {
            let judged = judge(Ok(answer(status, RECEIPT, BodyEnd::Complete)));
            assert_eq!(
                judged,
                Attempted::Answered {
                    status,
                    retry_after: None
                }
            );
        }
        assert_eq!(judge(Err(EgressError::Theirs(Theirs::Tls))).as_str(), "tls");
    }
}
