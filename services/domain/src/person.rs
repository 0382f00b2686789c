//! What is known of a person. Nothing here can be printed: `Debug` and `Display` say `‹subject›`.
//!
//! Identities belong to one controller and are never used across controllers. Values are normalised at the door,
//! with the raw text kept beside them; both live only inside the sealed blob.

use std::fmt;

use crate::word::vocabulary;

/// Personal text. The only way to read it is [`Personal::expose`], which is easy to find in a review.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Personal(String);

impl Personal {
    /// Takes personal text in.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself: for sealing, and for the system that must act.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("‹subject›")
    }
}

impl fmt::Display for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("‹subject›")
    }
}

vocabulary! {
    /// The kinds of identity that have rules of their own (contracts.md §2).
    KnownKind ("identity kind") {
        /// A telephone number in E.164.
        Phone = "phone",
        /// An e-mail address.
        Email = "email",
        /// A name as the person writes it.
        Name = "name",
        /// WhatsApp's business-scoped user id; regenerated when the number changes.
        WhatsappBsuid = "whatsapp_bsuid",
        /// WhatsApp's account id: the number without `+`.
        WhatsappWaId = "whatsapp_wa_id",
        /// Instagram-scoped id.
        InstagramIgsid = "instagram_igsid",
        /// Page-scoped id.
        MessengerPsid = "messenger_psid",
        /// Telegram user id (up to 52 bits).
        TelegramUserId = "telegram_user_id",
        /// Facebook Login's app-scoped id.
        FacebookAppScopedId = "facebook_app_scoped_id",
        /// The controller's own customer number.
        CustomerId = "customer_id",
        /// An order number.
        OrderId = "order_id",
        /// A device.
        DeviceId = "device_id",
    }
}

/// What kind of identifier a value is: one of the known, or `external:<namespace>`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentityKind {
    /// A kind with rules of its own.
    Known(KnownKind),
    /// A controller's own kind; the namespace is 1 to 40 of `a-z0-9_-`.
    External(String),
}

/// Why an identity was refused; the value is never repeated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// Neither a known kind nor `external:<namespace>`.
    #[error("unknown identity kind; known are phone, email, name, the channels' ids and external:<namespace>")]
    Kind,
    /// Not a number in international form.
    #[error("a phone is written in E.164: + and 7 to 15 digits")]
    Phone,
    /// Not an address with one @ and a domain.
    #[error("not an e-mail address")]
    Email,
    /// Empty, longer than 256 characters, or with control characters.
    #[error("an identity is 1 to 256 characters without control characters")]
    Text,
}

/// Longer than any real identifier; e-mail addresses end at 254 (RFC 5321 §4.5.3.1).
const VALUE_LENGTH_MAX: usize = 256;

impl std::str::FromStr for IdentityKind {
    type Err = IdentityError;

    fn from_str(text: &str) -> Result<Self, IdentityError> {
        if let Ok(known) = text.parse() {
            return Ok(Self::Known(known));
        }
        let namespace = text.strip_prefix("external:").ok_or(IdentityError::Kind)?;
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_' || c == '-';
        if (1..=40).contains(&namespace.len()) && namespace.chars().all(legal) {
            Ok(Self::External(namespace.to_owned()))
        } else {
            Err(IdentityError::Kind)
        }
    }
}

impl fmt::Display for IdentityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(kind) => kind.fmt(f),
            Self::External(namespace) => write!(f, "external:{namespace}"),
        }
    }
}

vocabulary! {
    /// Whether the person showed control of an identity.
    Proof ("proof") {
        /// The signed channel itself, a code, or a login showed it.
        Verified = "verified",
        /// Only stated.
        Stated = "stated",
    }
}

/// One typed identifier of the person, at one controller.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Identity {
    /// What kind of identifier it is.
    pub kind: IdentityKind,
    /// The normal form, by which systems look.
    pub value: Personal,
    /// What was written, where it differs from the normal form.
    pub raw: Option<Personal>,
    /// Whether control of it was shown.
    pub proof: Proof,
}

impl Identity {
    /// Normalises and checks a value: E.164 for phones, lower-case domain for e-mail, trimmed text otherwise.
    pub fn parse(kind: IdentityKind, raw: &str, proof: Proof) -> Result<Self, IdentityError> {
        let trimmed = raw.trim();
        let too_long = trimmed.chars().count() > VALUE_LENGTH_MAX;
        if trimmed.is_empty() || too_long || trimmed.chars().any(char::is_control) {
            return Err(IdentityError::Text);
        }
        let value = match &kind {
            IdentityKind::Known(KnownKind::Phone) => phone(trimmed)?,
            IdentityKind::Known(KnownKind::Email) => email(trimmed)?,
            _ => trimmed.to_owned(),
        };
        let raw = (value != raw).then(|| Personal::new(raw));
        Ok(Self {
            kind,
            value: Personal::new(value),
            raw,
            proof,
        })
    }
}

/// Whose data it is, as the request names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    /// The name as given.
    pub name: Option<Personal>,
    /// `customer`, `provider`, …: a word of the product's.
    pub kind: Option<String>,
    /// At most fifty.
    pub identities: Vec<Identity>,
}

vocabulary! {
    /// Who is asking.
    Relation ("relation") {
        /// The person.
        Myself = "self",
        /// Somebody authorised by the person.
        Agent = "agent",
        /// A parent or guardian.
        Guardian = "guardian",
        /// Anybody else: gets nothing without permission or legal ground.
        ThirdParty = "third_party",
    }
}

/// Digits after `+`, once separators that people write are dropped (E.164 §6: at most fifteen digits).
fn phone(text: &str) -> Result<String, IdentityError> {
    let kept: String = text
        .chars()
        .filter(|c| !matches!(c, ' ' | '-' | '(' | ')' | '.' | '\u{a0}'))
        .collect();
    let kept = kept.strip_prefix("00").map_or(kept.clone(), |rest| format!("+{rest}"));
    let digits = kept.strip_prefix('+').ok_or(IdentityError::Phone)?;
    let whole = (7..=15).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    if whole && !digits.starts_with('0') {
        Ok(kept)
    } else {
        Err(IdentityError::Phone)
    }
}

fn email(text: &str) -> Result<String, IdentityError> {
    let (local, domain) = text.rsplit_once('@').ok_or(IdentityError::Email)?;
    let plain = |part: &str| !part.is_empty() && !part.contains(|c: char| c.is_whitespace() || c == '@');
    if plain(local) && plain(domain) && domain.contains('.') {
        Ok(format!("{local}@{}", domain.to_lowercase()))
    } else {
        Err(IdentityError::Email)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(kind: &str, raw: &str) -> Result<String, IdentityError> {
        let identity = Identity::parse(kind.parse()?, raw, Proof::Stated)?;
        Ok(identity.value.expose().to_owned())
    }

    #[test]
    fn values_get_their_normal_form() {
        assert_eq!(parse("phone", " +970 (59) 123-4567").as_deref(), Ok("+970591234567"));
        assert_eq!(parse("phone", "00970591234567").as_deref(), Ok("+970591234567"));
        assert_eq!(
            parse("email", "Layla.Q@Example.ORG").as_deref(),
            Ok("Layla.Q@example.org")
        );
        assert_eq!(parse("external:crm", " 42 ").as_deref(), Ok("42"));
    }

    #[test]
    fn what_cannot_be_an_identity_is_refused() {
        assert_eq!(parse("phone", "0591234567"), Err(IdentityError::Phone));
        assert_eq!(parse("phone", "+12"), Err(IdentityError::Phone));
        assert_eq!(parse("email", "nobody"), Err(IdentityError::Email));
        assert_eq!(parse("email", "a b@example.org"), Err(IdentityError::Email));
        assert_eq!(parse("name", " \n "), Err(IdentityError::Text));
        assert_eq!(parse("external:", "1"), Err(IdentityError::Kind));
        assert_eq!(parse("shoe_size", "1"), Err(IdentityError::Kind));
    }

    #[test]
    fn a_person_cannot_be_printed() {
        let identity = Identity::parse("phone".parse().unwrap(), "+970591234567", Proof::Verified).unwrap();
        let subject = Subject {
            name: Some(Personal::new("Layla")),
            kind: None,
            identities: vec![identity],
        };
        let printed = format!("{subject:?} {}", subject.name.as_ref().unwrap());
        assert!(!printed.contains("Layla") && !printed.contains("59123"), "{printed}");
    }
}
