//! What happens in the demonstration: nine people, every door, and what must come of it.

use domain::request::Closing;
use domain::right::{Channel, Right};
use jiff::Timestamp;
use serde_json::{Value, json};

/// One person's message.
#[derive(Debug, Clone)]
pub(super) struct Scene {
    /// How it comes in, for a person who watches.
    pub how: &'static str,
    /// The door.
    pub door: Door,
    /// The client business that it must reach.
    pub controller: &'static str,
    /// What it must be understood as.
    pub right: Right,
    /// Where the person met the business.
    pub channel: Channel,
    /// What must come of it.
    pub outcome: Closing,
}

/// A door, and what is brought there.
#[derive(Debug, Clone)]
pub(super) enum Door {
    /// One of Meta's channels: the bytes are signed with the app's secret.
    Meta(Value),
    /// The same, forwarded by the product that owns the webhook address.
    Forwarded(Value),
    /// A Telegram bot: the account, and the update.
    Telegram(&'static str, Value),
    /// The REST API.
    Rest(Value),
}

/// The scenes, at this instant.
#[must_use]
pub(super) fn scenes(now: Timestamp) -> Vec<Scene> {
    let seconds = now.as_second();
    let mut scenes = chats(seconds);
    scenes.extend(calls());
    scenes
}

fn chats(seconds: i64) -> Vec<Scene> {
    [whatsapps(seconds), pages(seconds)].concat()
}

/// Nablus Sweets keeps invoices on tax law, so what is asked of it is done in part.
fn whatsapps(seconds: i64) -> Vec<Scene> {
    let scene = |how, door, right| Scene {
        how,
        door,
        controller: "nablus-sweets",
        right,
        channel: Channel::Whatsapp,
        outcome: Closing::Partly,
    };
    let phone = json!({"wa_id": "970590000117", "user_id": "PS.2201455910027713", "profile": {"name": "Demo One"}});
    let no_phone = json!({"user_id": "PS.9917300254418806", "profile": {"name": "Demo Two", "username": "@demo.two"}});
    let forwarded =
        json!({"wa_id": "970590000118", "user_id": "PS.7710934482015566", "profile": {"name": "Demo Three"}});
    let deletion = whatsapp(seconds, &phone, "احذفوا جميع بياناتي لو سمحتم");
    let access = whatsapp(seconds, &no_phone, "ابعتولي نسخة من بياناتي");
    vec![
        scene("WhatsApp, in Arabic", Door::Meta(deletion), Right::Deletion),
        scene(
            "WhatsApp, in Arabic, without a phone number",
            Door::Meta(access),
            Right::Access,
        ),
        scene(
            "WhatsApp, forwarded by the product",
            Door::Forwarded(whatsapp(seconds, &forwarded, "احذف بياناتي")),
            Right::Deletion,
        ),
    ]
}

fn pages(seconds: i64) -> Vec<Scene> {
    let instagram = page(
        "instagram",
        "17841400008460056",
        "6122884017712345",
        seconds,
        "Please delete all my data",
    );
    let messenger = page(
        "page",
        "102290129340398",
        "7305518822910044",
        seconds,
        "Delete my personal data, please",
    );
    let telegram = telegram(seconds, "Send me a copy of my data");
    vec![
        Scene {
            how: "Instagram",
            door: Door::Meta(instagram),
            controller: "nablus-sweets",
            right: Right::Deletion,
            channel: Channel::Instagram,
            outcome: Closing::Partly,
        },
        Scene {
            how: "Messenger",
            door: Door::Meta(messenger),
            controller: "olive-books",
            right: Right::Deletion,
            channel: Channel::Messenger,
            outcome: Closing::Fulfilled,
        },
        Scene {
            how: "Telegram",
            door: Door::Telegram("7204411905", telegram),
            controller: "olive-books",
            right: Right::Access,
            channel: Channel::Telegram,
            outcome: Closing::Fulfilled,
        },
    ]
}

fn calls() -> Vec<Scene> {
    use Right::{Access, Deletion};
    let call = |how, body, controller, right, channel| Scene {
        how,
        door: Door::Rest(body),
        controller,
        right,
        channel,
        outcome: Closing::Fulfilled,
    };
    let person = |email: &str| json!({"name": "Demo Person", "kind": "customer", "identities": [{"kind": "email", "value": email}]});
    let session = json!({"level": "account_session", "evidence": "demonstration"});
    vec![
        call(
            "REST, from Modelix",
            json!({"right": "deletion", "product": "modelix", "channel": "web",
                   "subject": person("demo.four@example.org"), "assurance": session,
                   "description": "the three portraits that I uploaded in May"}),
            "atlas-fashion",
            Deletion,
            Channel::Web,
        ),
        call(
            "REST, from Modelix",
            json!({"right": "access", "product": "modelix", "channel": "web",
                   "subject": person("demo.five@example.org"), "assurance": session}),
            "atlas-fashion",
            Access,
            Channel::Web,
        ),
        call(
            "REST, for the operator's own data",
            json!({"right": "deletion", "product": "operator",
                   "channel": "api", "subject": person("demo.six@example.org"), "assurance": session}),
            "operator",
            Deletion,
            Channel::Api,
        ),
    ]
}

/// A WhatsApp Cloud API webhook with one text message.
fn whatsapp(seconds: i64, contact: &Value, text: &str) -> Value {
    let user = contact["user_id"].as_str().unwrap_or_default();
    let mut message = json!({"from_user_id": user, "id": format!("wamid.DEMO{seconds}{user}"),
        "timestamp": seconds.to_string(), "type": "text", "text": {"body": text}});
    if let Some(phone) = contact.get("wa_id") {
        message["from"] = phone.clone();
    }
    json!({"object": "whatsapp_business_account", "entry": [{"id": "102290129340399", "changes": [{
        "field": "messages", "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "970590000100", "phone_number_id": "106540352242922"},
            "contacts": [contact], "messages": [message]}}]}]})
}

/// A Messenger or Instagram webhook with one text message.
fn page(object: &str, account: &str, sender: &str, seconds: i64, text: &str) -> Value {
    let milliseconds = seconds * 1000;
    json!({"object": object, "entry": [{"id": account, "time": milliseconds, "messaging": [{
        "sender": {"id": sender}, "recipient": {"id": account}, "timestamp": milliseconds,
        "message": {"mid": format!("m_DEMO{seconds}{sender}"), "text": text}}]}]})
}

/// A Telegram update with one private message.
fn telegram(seconds: i64, text: &str) -> Value {
    let person = json!({"id": 511_220_014, "is_bot": false, "first_name": "Demo", "language_code": "en"});
    json!({"update_id": seconds, "message": {"message_id": 7, "date": seconds, "text": text, "from": person,
        "chat": {"id": 511_220_014, "type": "private", "first_name": "Demo"}}})
}
