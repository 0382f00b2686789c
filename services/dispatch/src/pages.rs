//! Pages that tokens and problems name: an event's URI leads to what it means.

use actix_web::web::Path;
use actix_web::{HttpResponse, Responder};
use platform::problem;

/// The events that a receipt can hold (contracts.md §5).
const EVENTS: [(&str, &str); 3] = [
    (
        "task-completed",
        "The work on a task is over. Members: task, task_digest (the Content-Digest of the body that was sent), outcome \
         (completed, partial, not_found, refused, failed), results (one per data category: category, outcome, count, \
         basis, citation, erase_after), artifact (sha256, bytes, expires_at), attachments (digests). A basis is needed \
         for retained, refused and failed. Other members are refused.",
    ),
    (
        "task-acknowledged",
        "The owner will act on a task. Members: task, task_digest, by (when it will be done). It closes nothing.",
    ),
    (
        "task-amended",
        "What an earlier receipt said holds no longer. Members: those of task-completed, and supersedes (the earlier \
         receipt's jti). A worse outcome reopens the request.",
    ),
];

/// `GET /schemas/events/{name}`.
pub(crate) async fn event(name: Path<String>) -> impl Responder {
    match EVENTS.iter().find(|(known, _)| *known == name.as_str()) {
        Some((_, text)) => HttpResponse::Ok().content_type("text/plain; charset=utf-8").body(*text),
        None => problem::NOT_FOUND.response(),
    }
}
