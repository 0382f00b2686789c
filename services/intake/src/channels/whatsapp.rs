//! WhatsApp Cloud API: `entry[].changes[].value.messages[]`.
//!
//! The account is `metadata.phone_number_id`. The person is the business-scoped user id; since the spring of 2026 the
//! telephone number (`from`, `wa_id`) comes only sometimes, message by message, so each is taken where it is there.

use domain::person::{KnownKind, Personal};
use domain::right::Channel;
use serde_json::Value;

use super::lenient::{flag, has, instant, list, text};
use super::split::{Message, Sender, Skipped, Split};

/// Parts whose text is a reaction's, an edit's or the platform's.
const OTHER: [&str; 6] = ["reaction", "system", "unsupported", "edit", "revoke", "unknown"];

/// Takes one entry apart.
pub(super) fn split(entry: &Value, split: &mut Split) {
    for change in list(entry, "changes") {
        let value = change.get("value").unwrap_or(&Value::Null);
        let messages = list(value, "messages");
        if text(change, "field").as_deref() != Some("messages") || messages.is_empty() {
            split.add(Err(Skipped::OtherEvent));
            continue;
        }
        for message in messages {
            split.add(read(value, message));
        }
    }
}

fn read(value: &Value, message: &Value) -> Result<Message, Skipped> {
    let context = message.get("context").unwrap_or(&Value::Null);
    match () {
        () if text(message, "type").is_some_and(|kind| OTHER.contains(&kind.as_str())) => Err(Skipped::OtherEvent),
        () if has(message, "group_id") => Err(Skipped::NotPrivate),
        () if flag(context, "forwarded") || flag(context, "frequently_forwarded") => Err(Skipped::Forwarded),
        () => {
            let metadata = value.get("metadata").ok_or(Skipped::Incomplete)?;
            Ok(Message {
                channel: Channel::Whatsapp,
                account: text(metadata, "phone_number_id").ok_or(Skipped::Incomplete)?,
                text: words(message).map(Personal::new).ok_or(Skipped::NoText)?,
                id: text(message, "id").map(Personal::new).ok_or(Skipped::Incomplete)?,
                at: instant(message, "timestamp"),
                sender: sender(value, message).known()?,
            })
        }
    }
}

/// What the person wrote, or the words on the button that they pressed.
fn words(message: &Value) -> Option<String> {
    const PLACES: [(&str, &str); 8] = [
        ("/text", "body"),
        ("/button", "text"),
        ("/interactive/button_reply", "title"),
        ("/interactive/list_reply", "title"),
        ("/image", "caption"),
        ("/video", "caption"),
        ("/document", "caption"),
        ("/order", "text"),
    ];
    PLACES
        .iter()
        .find_map(|(place, key)| text(message.pointer(place)?, key))
}

fn sender(value: &Value, message: &Value) -> Sender {
    let (from, user) = (text(message, "from"), text(message, "from_user_id"));
    let contact = contact(list(value, "contacts"), from.as_deref(), user.as_deref());
    let contact = contact.unwrap_or(&Value::Null);
    let wa_id = from.or_else(|| text(contact, "wa_id"));
    let mut sender = Sender {
        name: contact
            .get("profile")
            .and_then(|profile| text(profile, "name"))
            .map(Personal::new),
        ..Sender::default()
    };
    sender.identify(KnownKind::WhatsappBsuid, user.or_else(|| text(contact, "user_id")));
    // The account id is the number that the account was opened with: control of the one is control of the other.
    sender.identify(KnownKind::Phone, wa_id.as_ref().map(|digits| format!("+{digits}")));
    sender.identify(KnownKind::WhatsappWaId, wa_id);
    sender
}

/// The contact that wrote the message; the only one there is, if neither id names it.
fn contact<'v>(contacts: &'v [Value], from: Option<&str>, user: Option<&str>) -> Option<&'v Value> {
    let is = |contact: &&Value| {
        let same = |key, wanted: Option<&str>| wanted.is_some() && text(contact, key).as_deref() == wanted;
        same("wa_id", from) || same("user_id", user)
    };
    let only = || if let [only] = contacts { Some(only) } else { None };
    contacts.iter().find(is).or_else(only)
}
