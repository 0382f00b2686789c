//! The log as C2SP tlog-tiles serves it: leaves are commitments, so nobody has to say who they are.

use actix_web::HttpResponse;
use actix_web::http::header::CACHE_CONTROL;
use actix_web::web::{Data, Path};
use evidence::merkle::tile::{BundleId, TileId};

use super::State;
use super::refusal::Refusal;

/// A tile of a width never changes.
const FOR_EVER: &str = "public, max-age=31536000, immutable";

/// A checkpoint is replaced within the second; whoever caches it for longer sees an old log.
const FOR_A_SECOND: &str = "public, max-age=1";

/// `GET /log/checkpoint`: the newest signed note.
pub(super) async fn checkpoint(state: Data<State>) -> Result<HttpResponse, Refusal> {
    let newest = state.archive.checkpoint().await?.ok_or(Refusal::NotFound)?;
    Ok(HttpResponse::Ok()
        .content_type("text/plain; charset=utf-8")
        .insert_header((CACHE_CONTROL, FOR_A_SECOND))
        .body(newest.text()))
}

/// `GET /log/tile/<L>/<N>[.p/<W>]` and `/log/tile/entries/<N>[.p/<W>]`.
pub(super) async fn tile(path: Path<String>, state: Data<State>) -> Result<HttpResponse, Refusal> {
    let content = match (path.parse::<BundleId>(), path.parse::<TileId>()) {
        (Ok(id), _) => state.archive.bundle(id).await?,
        (_, Ok(id)) => state.archive.tile(id).await?,
        _ => None,
    };
    Ok(HttpResponse::Ok()
        .content_type("application/octet-stream")
        .insert_header((CACHE_CONTROL, FOR_EVER))
        .body(content.ok_or(Refusal::NotFound)?))
}
