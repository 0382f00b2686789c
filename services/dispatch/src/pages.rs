//! The pages behind the addresses that tasks name.
//!
//! An event's address stands in every receipt for ever, so it answers: with what the event means and what it holds.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::Path;
use platform::problem::NOT_FOUND;

/// The pages change with releases only.
const CACHED: &str = "public, max-age=3600";

/// An event of a security event token (RFC 8417 §2).
struct Event {
    name: &'static str,
    signer: &'static str,
    meaning: &'static str,
    members: &'static [(&'static str, &'static str)],
}

/// What every statement about a task begins with.
const TASK: (&str, &str) = ("task", "The task's id, as the webhook named it.");
const DIGEST: (&str, &str) = (
    "task_digest",
    "The Content-Digest of the body that was received (RFC 9530): sha-256=:…:",
);
const OUTCOME: (&str, &str) = ("outcome", "completed, partial, not_found, refused or failed.");
const RESULTS: (&str, &str) = (
    "results",
    "One for each data category: category, outcome, and count, basis, citation, erase_after where they apply. \
     What is retained, refused or failed needs a basis. All words come from the registry's lists.",
);
const ARTIFACT: (&str, &str) = (
    "artifact",
    "For access and portability: sha256, bytes and expires_at of the encrypted package.",
);
const ATTACHMENTS: (&str, &str) = ("attachments", "Digests of what was sent beside the receipt.");

const EVENTS: &[Event] = &[
    Event {
        name: "task-completed",
        signer: "the owner of the system",
        meaning: "The work that the task asked for is over, with this outcome.",
        members: &[TASK, DIGEST, OUTCOME, RESULTS, ARTIFACT, ATTACHMENTS],
    },
    Event {
        name: "task-acknowledged",
        signer: "the owner of the system",
        meaning: "The task was received and will be done. This closes nothing.",
        members: &[TASK, DIGEST, ("by", "Until when it will be done.")],
    },
    Event {
        name: "task-amended",
        signer: "the owner of the system",
        meaning: "What holds now, in place of an earlier receipt, which is kept.",
        members: &[
            ("supersedes", "The jti of the earlier receipt."),
            TASK,
            DIGEST,
            OUTCOME,
            RESULTS,
            ARTIFACT,
            ATTACHMENTS,
        ],
    },
    Event {
        name: "request-received",
        signer: "the router",
        meaning: "A request reached the router, and this is its number among its controller's.",
        members: &[
            ("intake_seq", "Counted from 1 without gaps, for each controller."),
            ("received_at", "When the person asked."),
        ],
    },
    Event {
        name: "task-stated",
        signer: "the router",
        meaning: "What stands in place of an owner's word about a task, or about a whole request.",
        members: &[
            ("task", "The task; absent if it is about the whole request."),
            (
                "kind",
                "undeliverable, no_receipt, not_instructed, withdrawn or shredded.",
            ),
            ("approver", "The person who approved it, where one had to."),
        ],
    },
];

/// `GET /schemas/events/{name}`.
pub(crate) async fn event(name: Path<String>) -> HttpResponse {
    let found = EVENTS.iter().find(|event| event.name == name.as_str());
    found.map_or_else(|| NOT_FOUND.response(), |event| page(event.name, &event.text()))
}

impl Event {
    fn text(&self) -> String {
        let member = |(name, meaning): &(&str, &str)| format!("<dt><code>{name}</code></dt><dd>{meaning}</dd>");
        let members: String = self.members.iter().map(member).collect();
        format!(
            "<p>{}</p><p>Signed by {} in a security event token (RFC 8417), whose <code>txn</code> is the request. \
             Other members are refused.</p><dl>{members}</dl>",
            self.meaning, self.signer
        )
    }
}

fn page(title: &str, text: &str) -> HttpResponse {
    HttpResponse::Ok()
        .content_type("text/html; charset=utf-8")
        .insert_header((CACHE_CONTROL, CACHED))
        .body(format!(
            "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title><h1>{title}</h1>{text}</html>"
        ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn every_event_of_the_vocabulary_has_a_page() {
        let status = async |name: &str| event(Path::from(name.to_owned())).await.status().as_u16();
        for name in [
            "task-completed",
            "task-acknowledged",
            "task-amended",
            "request-received",
            "task-stated",
        ] {
            assert_eq!(status(name).await, 200, "{name}");
        }
        assert_eq!(status("task-forgotten").await, 404);
    }
}
