//! `POST /forward/{channel}`: a product hands on what its channel sent it.
//!
//! An app or a bot has one webhook address, and the product already owns it. It forwards the bytes and the signature as
//! it got them, so what is proven is what the channel's own door proves; the product's token only says that it may
//! forward, and for whom.

use actix_web::web::{Bytes, Data, Path, Query};
use actix_web::{HttpRequest, HttpResponse};
use domain::right::Channel;
use serde::Deserialize;

use super::{meta, telegram};
use crate::api::Caller;
use crate::doors::Doors;
use crate::refusal::Refusal;

/// What a signature alone doesn't say.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Which {
    /// The bot, for Telegram: its name in the webhook's address.
    binding: Option<String>,
}

/// Takes what a channel sent to a product.
pub(crate) async fn forward(
    request: HttpRequest,
    channel: Path<Channel>,
    which: Query<Which>,
    body: Bytes,
    caller: Caller,
    doors: Data<Doors>,
) -> Result<HttpResponse, Refusal> {
    match *channel {
        Channel::Telegram => {
            let bot = which.binding.as_deref();
            let bot = bot.ok_or_else(|| Refusal::Query("`binding` names the bot".to_owned()))?;
            doors.bots.verify(bot, &request)?;
            telegram::updates(&doors, bot, &body, &caller.scope).await
        }
        channel => {
            let verified = doors.apps.verify_any(&request, &body)?;
            meta::notification(&doors, channel, &verified, &caller.scope).await
        }
    }
}
