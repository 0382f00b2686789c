//! The webhook's door: believe it, do the work once, answer.

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use domain::id::TaskId;
use evidence::digest::sha256;
use evidence::token::MEDIA_TYPE;
use platform::webhook::{self, Received};

use crate::manner::{Answering, Treatment, Trouble, Verdict};
use crate::receipt::{self, Brought};
use crate::record::Noted;
use crate::task::{About, Message, Task};
use crate::{Client, Shared};

/// `POST /hook`: 401 for what the router didn't send, 400 for what isn't a message, otherwise as the manner has it.
pub(crate) async fn receive(request: HttpRequest, body: Bytes, shared: Data<Shared>) -> HttpResponse {
    if !believe(&request, &body, &shared) {
        shared.client.record.refuse();
        return HttpResponse::Unauthorized().finish();
    }
    let Ok(message) = serde_json::from_slice::<Message>(&body) else {
        return HttpResponse::BadRequest().finish();
    };
    let digest = sha256(&body);
    if message.r#type != "dsr.task.created" {
        let id = header(&request, "webhook-id").to_owned();
        return heed(shared, &id, message, digest).await;
    }
    match serde_json::from_value::<Task>(message.data) {
        Ok(task) => treat(shared, task, digest).await,
        Err(_) => HttpResponse::BadRequest().finish(),
    }
}

fn header<'r>(request: &'r HttpRequest, name: &str) -> &'r str {
    let value = request.headers().get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}

/// A message that is no task. What is not known is taken all the same: a newer router may say more.
async fn heed(shared: Data<Shared>, id: &str, message: Message, digest: [u8; 32]) -> HttpResponse {
    shared.client.record.hear(id, &message.r#type, digest);
    let about = serde_json::from_value::<About>(message.data);
    match (message.r#type.as_str(), about) {
        ("dsr.task.withdrawn", Ok(about)) => {
            shared.client.record.withdraw(about.task);
            HttpResponse::Ok().finish()
        }
        ("dsr.task.reminder", Ok(about)) => remind(shared, about.task).await,
        ("dsr.task.withdrawn" | "dsr.task.reminder", Err(_)) => HttpResponse::BadRequest().finish(),
        _ => HttpResponse::Ok().finish(),
    }
}

/// Answers as if the task had come again; one that never came, or that is not wanted any more, is not answered.
async fn remind(shared: Data<Shared>, task: TaskId) -> HttpResponse {
    let Some((task, digest)) = shared.client.record.task(task) else {
        return HttpResponse::Ok().finish();
    };
    let treatment = settle(shared.client.manner.next(), Noted::Again { done: true });
    if !matches!(treatment.verdict, Verdict::Failed | Verdict::Silent) {
        shared.client.record.work(task.task);
    }
    respond(shared, task, digest, treatment).await
}

/// Signature, time, and the digest that the header names.
fn believe(request: &HttpRequest, body: &[u8], shared: &Shared) -> bool {
    let header = |name| header(request, name);
    let received = Received {
        id: header("webhook-id"),
        timestamp: header("webhook-timestamp"),
        signature: header("webhook-signature"),
    };
    let now = shared.deps.clock.now();
    let signed = webhook::verify(&shared.client.trusts, received, body, now, webhook::TOLERANCE).is_ok();
    signed && header("content-digest") == webhook::content_digest(body)
}

async fn treat(shared: Data<Shared>, task: Task, digest: [u8; 32]) -> HttpResponse {
    let noted = shared.client.record.note(&task, digest);
    if shared.client.record.is_withdrawn(task.task) {
        return HttpResponse::Ok().finish();
    }
    let treatment = settle(shared.client.manner.next(), noted);
    match treatment.trouble {
        Trouble::Status(status) => return answer(status),
        Trouble::Slow(pause) => tokio::time::sleep(pause).await,
        Trouble::DoneButFailed => {
            shared.client.record.work(task.task);
            return answer(500);
        }
        Trouble::None | Trouble::Twice | Trouble::ForgedFirst => {}
    }
    if !matches!(treatment.verdict, Verdict::Failed | Verdict::Silent) {
        shared.client.record.work(task.task);
    }
    respond(shared, task, digest, treatment).await
}

/// A task that failed once succeeds when it comes again.
fn settle(treatment: Treatment, noted: Noted) -> Treatment {
    match (treatment.verdict, noted) {
        (Verdict::FailedThenCompleted, Noted::First) => Treatment {
            verdict: Verdict::Failed,
            ..treatment
        },
        (Verdict::FailedThenCompleted, Noted::Again { .. }) => Treatment {
            verdict: Verdict::Completed,
            ..treatment
        },
        _ => treatment,
    }
}

async fn respond(shared: Data<Shared>, task: Task, digest: [u8; 32], treatment: Treatment) -> HttpResponse {
    let verdict = treatment.verdict;
    let sign = || receipt::make(&shared.client, &shared.deps, &task, digest, verdict);
    let Some(token) = shared.client.record.signed(task.task, verdict, sign) else {
        return HttpResponse::Accepted().finish();
    };
    match treatment.answering {
        Answering::InBody => {
            shared.client.record.receipt(task.task);
            HttpResponse::Ok().content_type(MEDIA_TYPE).body(token)
        }
        Answering::PostBeforeAnswer => {
            post(&shared, &task, digest, &token, treatment.trouble).await;
            HttpResponse::Accepted().finish()
        }
        Answering::ByPost => {
            actix_web::rt::spawn(async move { post(&shared, &task, digest, &token, treatment.trouble).await });
            HttpResponse::Accepted().finish()
        }
    }
}

async fn post(shared: &Shared, task: &Task, digest: [u8; 32], token: &str, trouble: Trouble) {
    if trouble == Trouble::ForgedFirst
        && let Some(forged) = receipt::forge(&shared.client, &shared.deps, task, digest)
    {
        note(&shared.client, task, receipt::bring(&shared.deps, task, &forged).await);
    }
    note(&shared.client, task, receipt::bring(&shared.deps, task, token).await);
    if trouble == Trouble::Twice {
        note(&shared.client, task, receipt::bring(&shared.deps, task, token).await);
    }
}

fn note(client: &Client, task: &Task, brought: Brought) {
    match brought {
        Brought::Accepted => client.record.receipt(task.task),
        Brought::Refused => client.record.refuse_receipt(),
        Brought::Unreachable => {}
    }
}

fn answer(status: u16) -> HttpResponse {
    HttpResponse::new(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
}
