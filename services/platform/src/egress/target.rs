//! What a URL must look like before anything is resolved or connected.
//!
//! The parser is the same that the client uses (WHATWG), so decimal, octal, hexadecimal and full-width spellings
//! of an address are addresses here too. A destination that the operator calls *trusted* may be spoken to in plain
//! HTTP, on any port and at a private address: that is for systems on the operator's own premises, and for tests.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use reqwest::Url;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};

use super::address::{Ban, judge};

/// A URL longer than this is not one that somebody registered.
const URL_MAX: usize = 2_048;

/// Why a URL is not gone to. Says nothing of the URL but a port or the kind of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Forbidden {
    /// Not a URL with a host, or too long.
    #[error("this is not a URL that can be called")]
    Url,
    /// Neither HTTPS nor trusted HTTP.
    #[error("only https is called")]
    Scheme,
    /// A name or a password in the URL.
    #[error("a URL with a user name or password is not called")]
    UserInfo,
    /// A port that is not on the list.
    #[error("port {0} is not called")]
    Port(u16),
    /// A name that means this machine.
    #[error("a local name is not called")]
    LocalName,
    /// An address that is not on the public internet.
    #[error("an address of this kind is not called: {0}")]
    Address(&'static str),
}

impl From<Ban> for Forbidden {
    fn from(Ban(kind): Ban) -> Self {
        Self::Address(kind)
    }
}

/// A destination on the operator's own premises: a host name, an address, or a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trusted {
    /// Exactly this name, whatever it resolves to.
    Name(String),
    /// These addresses, whatever name leads to them.
    Network(IpNet),
}

/// Not a host name, an address or a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a trusted destination is a host name, an address, or a network such as 10.0.0.0/8")]
pub struct TrustedError;

/// Where requests may go.
#[derive(Debug, Clone)]
pub struct Policy {
    /// Destinations on the operator's own premises.
    pub trusted: Vec<Trusted>,
    /// Ports that are called elsewhere.
    pub ports: Vec<u16>,
}

/// A URL that may be called, as far as that can be told before its name is resolved.
#[derive(Clone, PartialEq, Eq)]
pub struct Target(pub(super) Url);

impl Target {
    /// The name or address, for logs: a path or a query may hold a token.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

impl Policy {
    /// Reads a URL and refuses what must not be called.
    pub fn check(&self, url: &str) -> Result<Target, Forbidden> {
        let url = Some(url)
            .filter(|url| url.len() <= URL_MAX)
            .and_then(|url| Url::parse(url).ok());
        let url = url.ok_or(Forbidden::Url)?;
        let host = url.host_str().ok_or(Forbidden::Url)?;
        if !url.username().is_empty() || url.password().is_some() {
            return Err(Forbidden::UserInfo);
        }
        if has_empty_label(host) {
            return Err(Forbidden::Url);
        }
        let literal = host
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse::<IpAddr>()
            .ok();
        let trusted = literal.map_or_else(|| self.trusts_name(host), |address| self.trusts(address));
        if !trusted {
            self.check_untrusted(&url, host, literal)?;
        } else if !matches!(url.scheme(), "http" | "https") {
            return Err(Forbidden::Scheme);
        }
        Ok(Target(url))
    }

    fn check_untrusted(&self, url: &Url, host: &str, literal: Option<IpAddr>) -> Result<(), Forbidden> {
        if url.scheme() != "https" {
            return Err(Forbidden::Scheme);
        }
        let port = url.port_or_known_default().unwrap_or_default();
        if !self.ports.contains(&port) {
            return Err(Forbidden::Port(port));
        }
        match literal {
            Some(address) => judge(address)?,
            None if is_local(host) => return Err(Forbidden::LocalName),
            None => {}
        }
        Ok(())
    }

    /// Judges everything that a name resolved to: one forbidden address spoils the answer, because whoever mixes
    /// them is trying something.
    pub(super) fn check_answer(&self, name: &str, addresses: &[IpAddr]) -> Result<(), Forbidden> {
        if self.trusts_name(name) {
            return Ok(());
        }
        let judged = addresses.iter().filter(|address| !self.trusts(**address));
        judged.copied().try_for_each(judge).map_err(Forbidden::from)
    }

    fn trusts(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let holds = |trusted: &Trusted| matches!(trusted, Trusted::Network(network) if network.contains(&address));
        self.trusted.iter().any(holds)
    }

    fn trusts_name(&self, name: &str) -> bool {
        let name = name.strip_suffix('.').unwrap_or(name);
        let is = |trusted: &Trusted| matches!(trusted, Trusted::Name(known) if known.eq_ignore_ascii_case(name));
        self.trusted.iter().any(is)
    }
}

/// `localhost` and what lies under it (RFC 6761 §6.3). Other names are judged by their addresses.
fn is_local(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
    host == "localhost" || host.ends_with(".localhost")
}

/// Such a name can't exist, and resolvers differ in what they make of it; one dot at the end is the root's.
fn has_empty_label(host: &str) -> bool {
    host.strip_suffix('.').unwrap_or(host).split('.').any(str::is_empty)
}

impl FromStr for Trusted {
    type Err = TrustedError;

    fn from_str(text: &str) -> Result<Self, TrustedError> {
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self::Network(network));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Network(IpNet::from(address)));
        }
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let name = text.strip_suffix('.').unwrap_or(text);
        let lettered = name.bytes().any(|byte| byte.is_ascii_alphabetic());
        if lettered && name.bytes().all(plain) {
            return Ok(Self::Name(name.to_ascii_lowercase()));
        }
        Err(TrustedError)
    }
}

impl<'de> Deserialize<'de> for Trusted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Trusted {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Trusted".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "description": "A host name, an address, or a network." })
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({})", self.host())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(trusted: &[&str]) -> Policy {
        Policy {
            trusted: trusted.iter().map(|text| text.parse().unwrap()).collect(),
            ports: vec![443, 8443],
        }
    }

    #[test]
    fn what_is_trusted_may_be_plain_and_private_and_nothing_else_may() {
        let policy = policy(&["127.0.0.0/8", "10.1.2.3", "intranet.example", "::1"]);
        for url in [
            "http://127.0.0.1:8080/hook",
            "http://127.1:1/",
            "https://10.1.2.3:5/",
            "http://[::1]:3/",
            "http://[::ffff:127.0.0.1]/",
            "http://Intranet.example.:8080/",
            "https://example.org/",
            "https://example.org:8443/",
            "https://8.8.8.8/",
        ] {
            assert!(policy.check(url).is_ok(), "{url}");
        }
        for (url, wanted) in [
            ("http://example.org/", Forbidden::Scheme),
            ("http://10.1.2.4/", Forbidden::Scheme),
            ("https://10.1.2.4/", Forbidden::Address("private")),
            ("https://example.org:444/", Forbidden::Port(444)),
            ("http://sub.intranet.example/", Forbidden::Scheme),
            ("ftp://127.0.0.1/", Forbidden::Scheme),
            ("http://a:b@127.0.0.1/", Forbidden::UserInfo),
        ] {
            assert_eq!(policy.check(url).unwrap_err(), wanted, "{url}");
        }
    }

    #[test]
    fn one_forbidden_address_spoils_the_answer() {
        let policy = policy(&["10.0.0.0/8", "intranet.example"]);
        let answer = |name: &str, addresses: &[&str]| {
            let addresses: Vec<IpAddr> = addresses.iter().map(|text| text.parse().unwrap()).collect();
            policy.check_answer(name, &addresses)
        };
        assert_eq!(answer("a.example", &["8.8.8.8", "10.0.0.1"]), Ok(()));
        assert_eq!(answer("intranet.example", &["192.168.0.1"]), Ok(()));
        assert_eq!(
            answer("a.example", &["8.8.8.8", "127.0.0.1"]),
            Err(Forbidden::Address("loopback"))
        );
        assert_eq!(
            answer("a.example", &["::ffff:127.0.0.1"]),
            Err(Forbidden::Address("loopback"))
        );
    }

    #[test]
    fn a_trusted_destination_is_parsed_strictly() {
        for wrong in ["", "10.0.0.0/33", "http://a", "a/b", "1.2.3", "a b", "*"] {
            assert!(wrong.parse::<Trusted>().is_err(), "{wrong}");
        }
    }
}
