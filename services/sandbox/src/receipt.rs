//! Signing receipts, and bringing them to the router.

use std::time::Duration;

use domain::receipt::{Artifact, CategoryOutcome, CategoryResult, Completion, Outcome, Report};
use domain::right::Right;
use evidence::jwk::{Algorithm, TokenKey};
use evidence::token::MEDIA_TYPE;
use evidence::token::sign::{Claims, sign_report};
use jiff::SignedDuration;
use platform::chance;
use platform::egress::Limits;
use uuid::Builder;

use crate::manner::Verdict;
use crate::task::Task;
use crate::{Client, Deps};

/// How often a receipt is brought before the router's next delivery is waited for: for two minutes, since a router that
/// has answered 2xx asks again only after days.
const TRIES: u32 = 65;

/// Before the second try; each one later waits for so much longer.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// Between two tries at most.
const PAUSE_MAX: Duration = Duration::from_secs(2);

/// A package for the person lies ready this long.
const ARTIFACT_LASTS: SignedDuration = SignedDuration::from_hours(24 * 14);

/// What became of a receipt that was brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Brought {
    /// The router has it.
    Accepted,
    /// The router won't have it.
    Refused,
    /// The router could not be reached; its next delivery asks again.
    Unreachable,
}

/// A signed receipt for a task; `None` where the verdict is to say nothing.
pub(crate) fn make(client: &Client, deps: &Deps, task: &Task, digest: [u8; 32], verdict: Verdict) -> Option<String> {
    let completion = completion(deps, task, digest, verdict)?;
    Some(sign(client, deps, task, completion, &client.key))
}

/// The same receipt, signed by a key that nobody registered.
pub(crate) fn forge(client: &Client, deps: &Deps, task: &Task, digest: [u8; 32]) -> Option<String> {
    let stranger = TokenKey::new(Algorithm::EdDsa, &chance::bytes(&*deps.rng)).ok()?;
    let completion = completion(deps, task, digest, Verdict::Completed)?;
    Some(sign(client, deps, task, completion, &stranger))
}

/// Posts a receipt until the router has it, refuses it, or can't be reached.
pub(crate) async fn bring(deps: &Deps, task: &Task, token: &str) -> Brought {
    for tried in 1..=TRIES {
        let headers = [("content-type", MEDIA_TYPE)];
        let body = token.as_bytes().to_vec();
        match deps
            .egress
            .post(&task.receipt.deliver_to, &headers, body, Limits::default())
            .await
        {
            Ok(answer) if answer.status == 202 => return Brought::Accepted,
            Ok(answer) if answer.status == 400 => return Brought::Refused,
            _ => tokio::time::sleep((FIRST_PAUSE * tried).min(PAUSE_MAX)).await,
        }
    }
    Brought::Unreachable
}

fn sign(client: &Client, deps: &Deps, task: &Task, completion: Completion, key: &TokenKey) -> String {
    let now = deps.clock.now();
    let claims = Claims {
        issuer: &client.issuer,
        audience: &task.receipt.audience,
        issued_at: now,
        occurred_at: Some(now),
        jti: Builder::from_random_bytes(chance::bytes(&*deps.rng)).into_uuid(),
        request: task.request,
    };
    sign_report(&claims, &Report::Completed(completion), key)
}

fn completion(deps: &Deps, task: &Task, task_digest: [u8; 32], verdict: Verdict) -> Option<Completion> {
    let (outcome, results) = match verdict {
        Verdict::Completed | Verdict::FailedThenCompleted => (Outcome::Completed, vec![done(task.right)]),
        Verdict::Partial => (Outcome::Partial, vec![done(task.right), kept()]),
        Verdict::NotFound => (Outcome::NotFound, vec![]),
        Verdict::Refused => (
            Outcome::Refused,
            vec![result("profile", CategoryOutcome::Refused, Some("legal_claims"))],
        ),
        Verdict::Failed => (
            Outcome::Failed,
            vec![result("profile", CategoryOutcome::Failed, Some("system_unavailable"))],
        ),
        Verdict::Silent => return None,
    };
    let gives = matches!(task.right, Right::Access | Right::Portability) && outcome == Outcome::Completed;
    let artifact = gives.then(|| Artifact {
        sha256: chance::bytes(&*deps.rng),
        bytes: 48_211,
        expires_at: deps.clock.now() + ARTIFACT_LASTS,
    });
    Some(Completion {
        task: task.task,
        task_digest,
        outcome,
        results,
        artifact,
        attachments: vec![],
    })
}

fn done(right: Right) -> CategoryResult {
    let outcome = match right {
        Right::Access | Right::Portability => CategoryOutcome::Provided,
        Right::Correction => CategoryOutcome::Corrected,
        _ => CategoryOutcome::Erased,
    };
    CategoryResult {
        count: Some(42),
        ..result("conversations", outcome, None)
    }
}

fn kept() -> CategoryResult {
    CategoryResult {
        citation: Some("GDPR Art. 17(3)(b)".to_owned()),
        erase_after: Some(jiff::civil::date(2033, 5, 4)),
        ..result("invoices", CategoryOutcome::Retained, Some("tax_law"))
    }
}

fn result(category: &str, outcome: CategoryOutcome, basis: Option<&str>) -> CategoryResult {
    CategoryResult {
        category: category.to_owned(),
        outcome,
        count: None,
        basis: basis.map(ToOwned::to_owned),
        citation: None,
        erase_after: None,
    }
}
