//! What the platforms send: the bytes, and the headers that prove them.
//!
//! The shapes are those of the platforms' own documentation. Meta escapes everything beyond ASCII and signs exactly
//! those bytes, and a WhatsApp message id contains the sender's phone number; both are copied here, because both have
//! made programs fail that were tested with prettier bytes.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use platform::clock::{Clock as _, SystemClock};
use serde_json::{Value, json};

use super::person::{Person, fresh};

/// An HTTP request of a platform.
#[derive(Debug, Clone)]
pub struct Sent {
    /// The address of the door that the platform calls.
    pub direct: String,
    /// The address of the door that the product forwards to.
    pub forward: String,
    /// What proves that the platform sent it.
    pub proof: (&'static str, String),
    /// The exact bytes.
    pub body: Vec<u8>,
}

/// Meta's header.
pub const META_SIGNATURE: &str = "x-hub-signature-256";

/// Telegram's header.
pub const TELEGRAM_SECRET: &str = "x-telegram-bot-api-secret-token";

/// A text message as one messaging platform delivers it.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    /// Who wrote.
    pub from: &'a Person,
    /// The business's account: phone-number id, page id, Instagram id.
    pub account: &'a str,
    /// What they wrote.
    pub text: &'a str,
    /// The platform's number of the message; the same number is the same message.
    pub number: u64,
    /// When, in seconds since 1970.
    pub at: i64,
}

impl<'a> Text<'a> {
    /// A new message, written now.
    #[must_use]
    pub fn new(from: &'a Person, account: &'a str, text: &'a str) -> Self {
        Self {
            from,
            account,
            text,
            number: fresh(),
            at: SystemClock.now().as_second(),
        }
    }

    /// WhatsApp Cloud API, with phone number and BSUID.
    #[must_use]
    pub fn whatsapp(&self) -> Value {
        let contact =
            json!({"profile": {"name": self.from.name}, "wa_id": self.from.digits(), "user_id": self.from.bsuid});
        let message = json!({
            "from": self.from.digits(), "from_user_id": self.from.bsuid, "id": wamid(self.from.digits(), self.number),
            "timestamp": self.at.to_string(), "type": "text", "text": {"body": self.text}
        });
        whatsapp(self.account, &contact, &message)
    }

    /// WhatsApp Cloud API, from somebody whose number the business may not see.
    #[must_use]
    pub fn whatsapp_without_phone(&self) -> Value {
        let contact = json!({"profile": {"name": self.from.name, "username": "@somebody"}, "user_id": self.from.bsuid});
        let message = json!({
            "from_user_id": self.from.bsuid, "id": wamid(&self.from.bsuid, self.number),
            "timestamp": self.at.to_string(), "type": "text", "text": {"body": self.text}
        });
        whatsapp(self.account, &contact, &message)
    }

    /// Messenger.
    #[must_use]
    pub fn messenger(&self) -> Value {
        self.meta("page", &self.from.psid, &format!("m_{:024}", self.number))
    }

    /// Instagram.
    #[must_use]
    pub fn instagram(&self) -> Value {
        let mid = STANDARD.encode(format!("ig_dm_item:{}:{:024}", self.from.igsid, self.number));
        self.meta("instagram", &self.from.igsid, &mid)
    }

    fn meta(&self, object: &str, sender: &str, mid: &str) -> Value {
        let millis = self.at * 1000;
        let event = json!({
            "sender": {"id": sender}, "recipient": {"id": self.account}, "timestamp": millis,
            "message": {"mid": mid, "text": self.text}
        });
        json!({"object": object, "entry": [{"id": self.account, "time": millis, "messaging": [event]}]})
    }

    /// A Telegram update of a private chat.
    #[must_use]
    pub fn telegram(&self) -> Value {
        let (id, name) = (self.from.telegram, &self.from.name);
        json!({"update_id": self.number, "message": {
            "message_id": self.number % 100_000,
            "from": {"id": id, "is_bot": false, "first_name": name, "language_code": "ar"},
            "chat": {"id": id, "type": "private", "first_name": name},
            "date": self.at, "text": self.text
        }})
    }
}

fn whatsapp(account: &str, contact: &Value, message: &Value) -> Value {
    json!({"object": "whatsapp_business_account", "entry": [{"id": "102290129340398", "changes": [{
        "field": "messages",
        "value": {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "970599000000", "phone_number_id": account},
            "contacts": [contact], "messages": [message]
        }
    }]}]})
}

/// A message id as WhatsApp makes them: base64 of a small structure with the customer's number in it.
#[must_use]
pub fn wamid(digits: &str, number: u64) -> String {
    let length = u8::try_from(digits.len()).expect("a phone number is short");
    let tail = format!("{number:020X}");
    let bytes = [
        &[0x1c, 0x18, length],
        digits.as_bytes(),
        &[0x15, 0x02, 0x00, 0x12, 0x18, 0x14],
        tail.as_bytes(),
        &[0x00],
    ]
    .concat();
    format!("wamid.{}", STANDARD.encode(bytes))
}

/// JSON as Meta writes it: nothing but ASCII.
#[must_use]
pub fn ascii(value: &Value) -> Vec<u8> {
    let mut bytes = vec![];
    for character in value.to_string().chars() {
        if character.is_ascii() {
            bytes.push(character as u8);
            continue;
        }
        let mut units = [0; 2];
        for unit in character.encode_utf16(&mut units) {
            bytes.extend_from_slice(format!("\\u{unit:04x}").as_bytes());
        }
    }
    bytes
}

/// Signs a body as Meta does.
#[must_use]
pub fn meta(channel: &str, app: &str, app_secret: &str, body: Vec<u8>) -> Sent {
    let key = hmac::Key::new(hmac::HMAC_SHA256, app_secret.as_bytes());
    let tag = hmac::sign(&key, &body);
    let signature = tag
        .as_ref()
        .iter()
        .fold("sha256=".to_owned(), |text, byte| text + &format!("{byte:02x}"));
    Sent {
        direct: format!("/channels/{channel}/{app}"),
        forward: format!("/forward/{channel}"),
        proof: (META_SIGNATURE, signature),
        body,
    }
}

/// An update as Telegram sends it: its proof is a secret, and no signature.
#[must_use]
pub fn telegram(secret: &str, bot: &str, update: &Value) -> Sent {
    Sent {
        direct: format!("/channels/telegram/{bot}"),
        forward: format!("/forward/telegram?binding={bot}"),
        proof: (TELEGRAM_SECRET, secret.to_owned()),
        body: update.to_string().into_bytes(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The vector of `tests/vectors` was signed by another program.
    #[test]
    fn bytes_and_signature_are_those_of_the_platform() {
        let body = ascii(&json!({"text": "احذف 🙂"}));
        assert_eq!(body, br#"{"text":"\u0627\u062d\u0630\u0641 \ud83d\ude42"}"#);
        let sent = meta("whatsapp", "app", "test-app-secret", br#"{"a":1}"#.to_vec());
        assert_eq!(sent.proof.1.len(), "sha256=".len() + 64);
        assert_ne!(
            sent.proof,
            meta("whatsapp", "app", "another", br#"{"a":1}"#.to_vec()).proof
        );
    }

    #[test]
    fn a_message_id_contains_the_phone_number_as_real_ones_do() {
        let real = "HBgLMTY1MDM4Nzk0MzkVAgASGBQzQTRBNjU5OUFFRTAzODEwMTQ0RgA=";
        let made = wamid("16503879439", 0);
        let (real, made) = (
            STANDARD.decode(real).unwrap(),
            STANDARD.decode(&made["wamid.".len()..]).unwrap(),
        );
        assert_eq!(real.len(), made.len());
        assert_eq!(real[..20], made[..20]);
    }
}
