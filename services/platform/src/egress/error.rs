//! Whose fault it was that there is no answer.
//!
//! The client's error is a chain of boxed errors from several libraries; what matters is found by type, never by
//! text. None of the words here repeats a URL.

use std::error::Error;
use std::io;

use super::Forbidden;
use super::resolve::NameError;

/// Why an attempt has no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// Policy: the URL is not called, and repeating it changes nothing.
    #[error(transparent)]
    Forbidden(#[from] Forbidden),
    /// Our fault; says nothing about the peer.
    #[error(transparent)]
    Ours(#[from] Ours),
    /// The peer's fault, or the way's.
    #[error(transparent)]
    Theirs(#[from] Theirs),
}

/// Faults on our side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ours {
    /// Our resolver doesn't answer, or can't tell now.
    #[error("the resolver does not answer")]
    Resolver,
    /// The configured proxy can't be reached or refuses.
    #[error("the proxy does not connect")]
    Proxy,
    /// No network, no free port, no free file handle.
    #[error("this machine can't open a connection")]
    Network,
    /// The request could not be written down, such as a header with a line break.
    #[error("the request is not valid")]
    Request,
}

/// Faults of the peer, or of the way to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Theirs {
    /// The name doesn't exist.
    #[error("the name does not exist")]
    Name,
    /// Nobody listens there, or a firewall says so.
    #[error("the connection was refused")]
    Refused,
    /// Nobody answers there.
    #[error("no connection in time")]
    ConnectTimeout,
    /// Connected, and no answer before the deadline.
    #[error("no answer in time")]
    Timeout,
    /// No TLS session, such as an expired certificate.
    #[error("no trusted TLS session")]
    Tls,
    /// The connection broke, or what came was not HTTP.
    #[error("the connection broke before an answer")]
    Broken,
}

impl EgressError {
    pub(super) fn of(error: &reqwest::Error, proxied: bool) -> Self {
        let connecting = error.is_connect();
        match causes(error).find_map(cause) {
            Some(Self::Theirs(Theirs::Tls)) => Self::Theirs(Theirs::Tls),
            Some(known) if !(proxied && connecting) => known,
            _ if proxied && connecting => Self::Ours(Ours::Proxy),
            _ if error.is_builder() => Self::Ours(Ours::Request),
            _ if error.is_timeout() && connecting => Self::Theirs(Theirs::ConnectTimeout),
            _ if error.is_timeout() => Self::Theirs(Theirs::Timeout),
            _ => Self::Theirs(Theirs::Broken),
        }
    }
}

/// The error and what lies under it; an I/O error's own content is not a `source` and is stepped into.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner
            .map(|inner| inner as &(dyn Error + 'static))
            .or_else(|| error.source())
    })
}

fn cause(error: &(dyn Error + 'static)) -> Option<EgressError> {
    if let Some(name) = error.downcast_ref::<NameError>() {
        return Some(match name {
            NameError::Forbidden(forbidden) => EgressError::Forbidden(*forbidden),
            NameError::Unknown => EgressError::Theirs(Theirs::Name),
            NameError::Resolver => EgressError::Ours(Ours::Resolver),
        });
    }
    if error.is::<rustls::Error>() {
        return Some(EgressError::Theirs(Theirs::Tls));
    }
    error.downcast_ref::<io::Error>().and_then(io_cause)
}

fn io_cause(error: &io::Error) -> Option<EgressError> {
    /// `EMFILE` and `ENFILE`, which have no kind of their own.
    const NO_FILE_HANDLES: [i32; 2] = [24, 23];
    if error.raw_os_error().is_some_and(|code| NO_FILE_HANDLES.contains(&code)) {
        return Some(EgressError::Ours(Ours::Network));
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable => Some(EgressError::Theirs(Theirs::Refused)),
        io::ErrorKind::NetworkUnreachable | io::ErrorKind::NetworkDown | io::ErrorKind::AddrNotAvailable => {
            Some(EgressError::Ours(Ours::Network))
        }
        _ => None,
    }
}
