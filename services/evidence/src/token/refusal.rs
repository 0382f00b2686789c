//! Why a token does not count, and what its sender is told (RFC 8935 §2.4).
//!
//! A refusal names the member that is wrong and never repeats what stood in it.

use super::bind::BindingError;

/// Why a token does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Longer than [`super::TOKEN_BYTES_MAX`].
    #[error("a token has at most 16 KiB")]
    TooLong,
    /// Not three parts of canonical base64url, the last of them 64 bytes.
    #[error("not a compact JWS: three parts in unpadded base64url, with a signature of 64 bytes")]
    Compact,
    /// The header is not exactly `alg`, `typ`, `kid`.
    #[error("the header must be exactly `alg`, `typ` and `kid`, each once: {0}")]
    Header(Fault),
    /// `typ` is not that of a security event token.
    #[error("`typ` must be `secevent+jwt`")]
    Type,
    /// An algorithm that nobody can register, or another than the registered key's.
    #[error("`alg` must be the registered key's: EdDSA (or Ed25519) or ES256")]
    Algorithm,
    /// The claims are not those of a receipt.
    #[error("the claims are not those of a receipt: {0}")]
    Claims(Fault),
    /// `iss` is missing, not a text, or not a registered issuer.
    #[error("`iss` must be the registered issuer, as a single text")]
    Issuer,
    /// `aud` is missing, not a text, or not us.
    #[error("`aud` must be the audience that the task named, as a single text")]
    Audience,
    /// Not exactly one event of those that we know.
    #[error("`events` must hold exactly one event, of the address that the task named")]
    Event,
    /// The event's content is not as the event wants it.
    #[error("the event is not as described at its address: {0}")]
    Payload(Fault),
    /// No registered key of that issuer has this `kid`.
    #[error("no key with this `kid` is registered for this issuer")]
    UnknownKey,
    /// The signature does not hold.
    #[error("the signature does not hold")]
    Signature,
    /// It does not fit the task.
    #[error(transparent)]
    Unbound(#[from] BindingError),
}

/// What is wrong with a JSON object, by the names that we know; unknown ones are not repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// Not a JSON object in UTF-8.
    #[error("not a JSON object")]
    NotAnObject,
    /// A member twice.
    #[error("a member stands twice")]
    Repeated,
    /// A member that we don't know.
    #[error("it has a member that is not described")]
    Unknown,
    /// This one is not there.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// This one has a value that it can't have.
    #[error("`{0}` has a value that it can't have")]
    Value(&'static str),
}

/// The error codes of RFC 8935 §2.4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SetError {
    /// Not a token, or its content does not conform.
    InvalidRequest,
    /// The key is unknown, retired or of another algorithm.
    InvalidKey,
    /// The issuer is not one of ours.
    InvalidIssuer,
    /// It is not for us.
    InvalidAudience,
    /// The signature does not hold.
    AuthenticationFailed,
    /// The issuer may not say this.
    AccessDenied,
}

impl SetError {
    /// The word in the answer's `err`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidKey => "invalid_key",
            Self::InvalidIssuer => "invalid_issuer",
            Self::InvalidAudience => "invalid_audience",
            Self::AuthenticationFailed => "authentication_failed",
            Self::AccessDenied => "access_denied",
        }
    }
}

impl Refusal {
    /// What RFC 8935 calls it. `Display` is the answer's `description`.
    #[must_use]
    pub fn code(&self) -> SetError {
        match self {
            Self::Algorithm | Self::UnknownKey => SetError::InvalidKey,
            Self::Issuer => SetError::InvalidIssuer,
            Self::Audience => SetError::InvalidAudience,
            Self::Signature => SetError::AuthenticationFailed,
            Self::Unbound(BindingError::NotYours) => SetError::AccessDenied,
            Self::TooLong
            | Self::Compact
            | Self::Header(_)
            | Self::Type
            | Self::Claims(_)
            | Self::Event
            | Self::Payload(_)
            | Self::Unbound(_) => SetError::InvalidRequest,
        }
    }
}
