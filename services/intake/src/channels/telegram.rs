//! Telegram Bot API: one update a call.
//!
//! An update doesn't name the bot, so the webhook's address does, and the header's secret is that bot's. The secret is
//! a bearer token and no MAC: it proves who calls and not what was sent, which is why it has to stay secret. Only
//! what a person wrote in a private chat counts.

use std::collections::BTreeMap;

use actix_web::web::{Bytes, Data, Path};
use actix_web::{HttpRequest, HttpResponse};
use domain::person::{KnownKind, Personal};
use domain::registration::Binding;
use domain::right::Channel;
use platform::secret::{Secret, equal};
use serde_json::Value;
use store::registry::Directory;
use store::scope::Scope;

use super::lenient::{flag, has, instant, text};
use super::split::{Message, Sender, Skipped, Split};
use super::{received, take};
use crate::config;
use crate::doors::Doors;
use crate::locale::is_tag;
use crate::refusal::Refusal;

const SECRET: &str = "X-Telegram-Bot-Api-Secret-Token";

/// Where an update's message lies: sent to the bot, or to a business account that the bot serves.
const MESSAGES: [&str; 2] = ["message", "business_message"];

/// Any of these marks somebody else's words, or words that a bot put together.
const NOT_OWN_WORDS: [&str; 7] = [
    "sender_chat",
    "forward_origin",
    "forward_from",
    "forward_from_chat",
    "forward_sender_name",
    "forward_date",
    "via_bot",
];

/// The bots whose updates arrive here, by the name in the webhook's address.
#[derive(Debug)]
pub(crate) struct Bots(BTreeMap<String, Vec<Secret>>);

impl Bots {
    pub(crate) fn new(bots: BTreeMap<String, config::Bot>) -> Self {
        let secrets = |bot: config::Bot| std::iter::once(bot.secret).chain(bot.previous_secret).collect();
        Self(bots.into_iter().map(|(name, bot)| (name, secrets(bot))).collect())
    }

    /// Checks the header's secret against the bot's, in constant time.
    pub(super) fn verify(&self, name: &str, request: &HttpRequest) -> Result<(), Refusal> {
        let secrets = self.0.get(name).ok_or(Refusal::NotFound)?;
        let header = request.headers().get(SECRET).ok_or(Refusal::Signature)?;
        let known = secrets
            .iter()
            .any(|secret| equal(secret.expose().as_bytes(), header.as_bytes()));
        known.then_some(()).ok_or(Refusal::Signature)
    }
}

/// `POST /channels/telegram/{binding}`.
pub(crate) async fn notify(
    request: HttpRequest,
    name: Path<String>,
    body: Bytes,
    doors: Data<Doors>,
) -> Result<HttpResponse, Refusal> {
    doors.bots.verify(&name, &request)?;
    updates(&doors, &name, &body, &Scope::EVERYTHING).await
}

/// What the bot was sent; its secret was checked.
pub(super) async fn updates(doors: &Doors, name: &str, body: &Bytes, scope: &Scope) -> Result<HttpResponse, Refusal> {
    let account = account(&*doors.directory()?, name).map_or_else(|| name.to_owned(), |bot| bot.account.clone());
    let split = split(body, &account)?;
    take::take(doors, &split, body, scope).await?;
    Ok(received())
}

/// The bot's binding: named by its id, or by its account.
fn account<'d>(directory: &'d Directory, name: &str) -> Option<&'d Binding> {
    match name.parse() {
        Ok(id) => directory.binding(id),
        Err(_) => directory.binding_of(Channel::Telegram, name),
    }
}

/// Takes an update apart. A list of updates is what `getUpdates` gives: a product that polls forwards it as it is.
fn split(body: &[u8], account: &str) -> Result<Split, Refusal> {
    let body: Value = platform::problem::parse_json(body)?;
    let updates = body.as_array().map_or(std::slice::from_ref(&body), Vec::as_slice);
    let mut split = Split::of(Channel::Telegram);
    for update in updates {
        let id = text(update, "update_id").ok_or(Refusal::Notification)?;
        split.add(read(update, id, account));
    }
    Ok(split)
}

fn read(update: &Value, id: String, account: &str) -> Result<Message, Skipped> {
    let message = MESSAGES
        .iter()
        .find_map(|key| update.get(key))
        .ok_or(Skipped::OtherEvent)?;
    let chat = message.get("chat").ok_or(Skipped::Incomplete)?;
    let from = message.get("from").ok_or(Skipped::Incomplete)?;
    if text(chat, "type").as_deref() != Some("private") {
        return Err(Skipped::NotPrivate);
    }
    if NOT_OWN_WORDS.iter().any(|key| has(message, key)) {
        return Err(Skipped::Forwarded);
    }
    // In a private chat the chat is the person; anybody else there writes for the business.
    if flag(from, "is_bot") || text(from, "id") != text(chat, "id") {
        return Err(Skipped::Echo);
    }
    let words = text(message, "text").or_else(|| text(message, "caption"));
    Ok(Message {
        channel: Channel::Telegram,
        account: account.to_owned(),
        id: Personal::new(id),
        at: instant(message, "date"),
        sender: sender(from).known()?,
        text: words.map(Personal::new).ok_or(Skipped::NoText)?,
    })
}

fn sender(from: &Value) -> Sender {
    let names = [text(from, "first_name"), text(from, "last_name")];
    let name = names.into_iter().flatten().collect::<Vec<_>>().join(" ");
    let mut sender = Sender {
        name: (!name.is_empty()).then(|| Personal::new(name)),
        language: text(from, "language_code").filter(|tag| is_tag(tag)),
        ..Sender::default()
    };
    sender.identify(KnownKind::TelegramUserId, text(from, "id"));
    sender
}
