//! Messenger and Instagram messaging, which share a shape: `entry[].messaging[]`.
//!
//! The account is the entry's id (page, Instagram account); the person is scoped to it. What the business wrote itself
//! comes back as an echo. `standby` holds what another app of the business answers first: it is the person's all the
//! same.

use domain::person::{KnownKind, Personal};
use domain::right::Channel;
use serde_json::Value;

use super::lenient::{flag, instant, list, text};
use super::split::{Message, Sender, Skipped, Split};

/// Takes one entry apart.
pub(super) fn split(entry: &Value, channel: Channel, split: &mut Split) {
    let parts = list(entry, "messaging").iter().chain(list(entry, "standby"));
    let mut any = false;
    for part in parts {
        any = true;
        split.add(read(entry, part, channel));
    }
    if !any {
        // Comments, mentions, leads: under `changes`, and not between the person and the business.
        split.add(Err(Skipped::OtherEvent));
    }
}

fn read(entry: &Value, part: &Value, channel: Channel) -> Result<Message, Skipped> {
    let spoken = spoken(part)?;
    let account = text(entry, "id")
        .or_else(|| text(part.get("recipient")?, "id"))
        .ok_or(Skipped::Incomplete)?;
    let person = part
        .get("sender")
        .and_then(|sender| text(sender, "id"))
        .ok_or(Skipped::Incomplete)?;
    if person == account {
        return Err(Skipped::Echo);
    }
    // An old postback has no id; the same press comes again with the same instant.
    let id = spoken
        .id
        .or_else(|| Some(format!("{person} {}", text(part, "timestamp")?)));
    let mut sender = Sender::default();
    sender.identify(kind(channel), Some(person));
    Ok(Message {
        channel,
        account,
        id: id.map(Personal::new).ok_or(Skipped::Incomplete)?,
        at: instant(part, "timestamp"),
        sender,
        text: Personal::new(spoken.text),
    })
}

/// What was written, and its id where it has one.
struct Spoken {
    id: Option<String>,
    text: String,
}

/// The words of a message (a quick reply's are the button's), or of the button behind a postback.
fn spoken(part: &Value) -> Result<Spoken, Skipped> {
    let (said, key) = match (part.get("message"), part.get("postback")) {
        (Some(message), _) if flag(message, "is_echo") => return Err(Skipped::Echo),
        (Some(message), _) if flag(message, "is_deleted") || flag(message, "is_unsupported") => {
            return Err(Skipped::OtherEvent);
        }
        (Some(message), _) => (message, "text"),
        (None, Some(postback)) => (postback, "title"),
        (None, None) => return Err(Skipped::OtherEvent),
    };
    Ok(Spoken {
        id: text(said, "mid"),
        text: text(said, key).ok_or(Skipped::NoText)?,
    })
}

fn kind(channel: Channel) -> KnownKind {
    match channel {
        Channel::Instagram => KnownKind::InstagramIgsid,
        _ => KnownKind::MessengerPsid,
    }
}
