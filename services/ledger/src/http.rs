//! What the ledger answers: the log to anybody, questions to auditors.

mod audit;
mod auditor;
mod refusal;
mod tiles;

use actix_web::web::{self, Data, ServiceConfig};
use platform::chance::SharedRng;
use platform::clock::SharedClock;
use platform::http::Pages;
use platform::problem::Problem;

use crate::archive::Archive;

/// What every handler works with.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) archive: Archive,
    pub(crate) clock: SharedClock,
    pub(crate) rng: SharedRng,
}

/// Problems that only the ledger answers, so that a test can ask for their pages.
pub const PROBLEMS: &[Problem] = &[
    refusal::SHREDDED,
    refusal::UNPUBLISHED,
    refusal::RANGE,
    refusal::UNAVAILABLE,
];

/// What their `type`s lead to.
const PAGES: Pages = Pages(&[
    ("shredded", include_str!("../../../schemas/problems/shredded.md")),
    ("unpublished", include_str!("../../../schemas/problems/unpublished.md")),
    ("tree-sizes", include_str!("../../../schemas/problems/tree-sizes.md")),
    (
        "ledger-unavailable",
        include_str!("../../../schemas/problems/ledger-unavailable.md"),
    ),
]);

/// Adds the ledger's addresses.
pub(crate) fn routes(config: &mut ServiceConfig, state: Data<State>) {
    config
        .app_data(state)
        .app_data(Data::new(PAGES))
        .route("/log/checkpoint", web::get().to(tiles::checkpoint))
        .route("/log/{tile:tile/.+}", web::get().to(tiles::tile))
        .route("/v1/audit/requests/{id}", web::get().to(audit::request))
        .route("/v1/audit/receipts/{id}", web::get().to(audit::receipt))
        .route("/v1/audit/receipts/{id}/proof", web::get().to(audit::receipt_proof))
        .route("/v1/audit/entries/{id}", web::get().to(audit::entry))
        .route("/v1/audit/entries/{id}/proof", web::get().to(audit::entry_proof))
        .route("/v1/audit/keys", web::get().to(audit::keys))
        .route("/v1/audit/consistency", web::get().to(audit::consistency));
}
