//! The only way out: every HTTP request that leaves this process passes here.
//!
//! A URL may come from outside, so it is checked before anything is resolved ([`Policy`]), and whatever
//! its name resolves to is checked before anything is connected, inside the client's own resolver: the addresses
//! that were judged are the ones that are dialled, and a pooled connection keeps the peer that was judged.
//! Redirects are answers, not instructions. An attempt has one deadline for everything, the body included, and
//! bodies are read up to a limit and never decompressed.
//! An error says whose fault it is ([`EgressError`]): a fault of ours must not be counted against the peer.

use std::io;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::{Certificate, Client, Method, Proxy, Response, redirect, retry};
use schemars::JsonSchema;
use serde::Deserialize;

pub use self::error::{EgressError, Ours, Theirs};
use self::resolve::{Guarded, Lookup, SystemLookup};
pub use self::target::{Forbidden, Policy, Target, Trusted, TrustedError};
use crate::metrics::Histogram;
use crate::secret::Secret;

mod address;
mod error;
mod resolve;
mod target;

/// A peer that doesn't take a connection in this time is down; a TLS handshake over a satellite fits.
const CONNECT_WITHIN: Duration = Duration::from_secs(5);

/// Shorter than the minute after which most servers and balancers close an idle connection.
const IDLE_FOR: Duration = Duration::from_secs(50);

/// As many idle connections as one host gets requests at the same time, with room.
const IDLE_PER_HOST: usize = 64;

/// Ordinary answers have a dozen headers.
const HEADERS_MAX: usize = 64;

/// An HTTP-date or a number of seconds is far shorter.
const HEADER_MAX: usize = 256;

static DURATION: Histogram = Histogram::new(
    "http_client_request_duration_seconds",
    "From the begin of an attempt to the end of its answer.",
);

/// How requests leave.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EgressConfig {
    /// Hosts, addresses and networks on the operator's own premises: plain HTTP, any port and private addresses
    /// are allowed there.
    pub trusted: Vec<Trusted>,
    /// Ports that are called elsewhere.
    pub ports: Vec<u16>,
    /// A proxy for everything, as a URL; environment variables are not heeded. It then resolves names, and so has
    /// to judge addresses itself.
    pub proxy: Option<Secret>,
    /// Authorities (PEM) to believe beside the system's.
    pub ca_bundle: Option<PathBuf>,
}

impl Default for EgressConfig {
    fn default() -> Self {
        Self {
            trusted: Vec::new(),
            ports: vec![443],
            proxy: None,
            ca_bundle: None,
        }
    }
}

/// Why there is no way out. One line each.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The bundle can't be read, or is not PEM.
    #[error("`egress.ca_bundle` {0} can't be used ({1}); correct the path or the file")]
    Bundle(PathBuf, String),
    /// The proxy's URL can't be used. The URL may hold a password and is not repeated.
    #[error("`egress.proxy` is not a URL such as http://proxy:3128; correct it")]
    Proxy,
    /// The client can't be built, most likely because the system has no certificate authorities.
    #[error("no HTTPS client ({0}); install the system's certificate authorities or set `egress.ca_bundle`")]
    Client(String),
}

/// What an attempt may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the begin to the last byte of the body.
    pub whole: Duration,
    /// Bytes of the body that are read.
    pub body_max_bytes: usize,
}

impl Default for Limits {
    /// 20 s and 64 KiB: what a webhook's receiver may take and say.
    fn default() -> Self {
        Self {
            whole: Duration::from_secs(20),
            body_max_bytes: 64 * 1024,
        }
    }
}

/// What the peer answered, whatever its status.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The HTTP status; 3xx too, since redirects are not followed.
    pub status: u16,
    /// The `Content-Type` field.
    pub content_type: Option<String>,
    /// The `Retry-After` field, if it was understood.
    pub retry_after: Option<RetryAfter>,
    /// As much of the body as was read. Never shown to the one who named the URL.
    pub body: Vec<u8>,
    /// Whether that is all of it.
    pub body_end: BodyEnd,
}

/// How reading a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyEnd {
    /// All of it was read.
    Complete,
    /// It is longer than the limit.
    OverLimit,
    /// The deadline came first, or the connection broke.
    Cut,
}

/// When a peer wants to be asked again (RFC 9110 §10.2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryAfter {
    /// So long after the answer.
    Delay(Duration),
    /// Not before this instant.
    At(Timestamp),
}

/// The way out. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Egress {
    policy: Policy,
    client: Client,
    proxied: bool,
}

impl Egress {
    /// Opens the way out; `user_agent` is how it introduces itself.
    pub fn new(config: &EgressConfig, user_agent: &str) -> Result<Self, BuildError> {
        Self::with_lookup(config, user_agent, SystemLookup::new())
    }

    fn with_lookup(config: &EgressConfig, user_agent: &str, lookup: impl Lookup) -> Result<Self, BuildError> {
        let policy = Policy {
            trusted: config.trusted.clone(),
            ports: config.ports.clone(),
        };
        let proxy = config.proxy.as_ref().map(proxy).transpose()?;
        let names = Guarded::new(policy.clone(), proxy.as_ref().map(|(host, _)| host.clone()), lookup);
        let mut builder = Client::builder()
            .dns_resolver(names)
            .redirect(redirect::Policy::none())
            .retry(retry::never())
            .referer(false)
            .no_proxy()
            .user_agent(user_agent)
            .connect_timeout(CONNECT_WITHIN)
            .pool_idle_timeout(IDLE_FOR)
            .pool_max_idle_per_host(IDLE_PER_HOST)
            .tcp_nodelay(true)
            .http1_only()
            .http1_max_headers(HEADERS_MAX)
            .tls_certs_merge(authorities(config)?);
        let proxied = proxy.is_some();
        if let Some((_, proxy)) = proxy {
            builder = builder.proxy(proxy);
        }
        let client = builder
            .build()
            .map_err(|error| BuildError::Client(crate::problem::chain(&error)))?;
        Ok(Self {
            policy,
            client,
            proxied,
        })
    }

    /// Whether a URL may be called, as far as that can be told without resolving its name: for the moment when
    /// somebody registers it.
    pub fn check(&self, url: &str) -> Result<Target, Forbidden> {
        self.policy.check(url)
    }

    /// Posts a body.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
        limits: Limits,
    ) -> Result<Answer, EgressError> {
        self.send(Method::POST, url, headers, body.into(), limits).await
    }

    /// Gets what is there.
    pub async fn get(&self, url: &str, headers: &[(&str, &str)], limits: Limits) -> Result<Answer, EgressError> {
        self.send(Method::GET, url, headers, Vec::new(), limits).await
    }

    async fn send(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
        limits: Limits,
    ) -> Result<Answer, EgressError> {
        let start = Instant::now();
        let outcome = self.attempt(method, url, headers, body, limits).await;
        DURATION.record(start.elapsed().as_secs_f64(), &[("outcome", label(&outcome))]);
        outcome
    }

    async fn attempt(
        &self,
        method: Method,
        url: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
        limits: Limits,
    ) -> Result<Answer, EgressError> {
        let Target(url) = self.policy.check(url)?;
        let mut request = self.client.request(method, url).headers(header_map(headers)?);
        if !body.is_empty() {
            request = request.body(body);
        }
        let deadline = tokio::time::Instant::now() + limits.whole;
        match tokio::time::timeout_at(deadline, request.send()).await {
            Err(_) => Err(EgressError::Theirs(Theirs::Timeout)),
            Ok(Err(error)) => Err(EgressError::of(&error, self.proxied)),
            Ok(Ok(response)) => Ok(read(response, deadline, limits.body_max_bytes).await),
        }
    }
}

/// Reads an answer. Its status counts even if its body breaks off.
async fn read(mut response: Response, deadline: tokio::time::Instant, limit: usize) -> Answer {
    let mut answer = Answer {
        status: response.status().as_u16(),
        content_type: text(response.headers(), &CONTENT_TYPE).map(str::to_owned),
        retry_after: text(response.headers(), &RETRY_AFTER).and_then(retry_after),
        body: Vec::new(),
        body_end: BodyEnd::Cut,
    };
    while let Ok(Ok(chunk)) = tokio::time::timeout_at(deadline, response.chunk()).await {
        let Some(chunk) = chunk else {
            answer.body_end = BodyEnd::Complete;
            break;
        };
        let room = limit - answer.body.len();
        answer.body.extend_from_slice(&chunk[..room.min(chunk.len())]);
        if chunk.len() > room {
            answer.body_end = BodyEnd::OverLimit;
            break;
        }
    }
    answer
}

fn text<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h str> {
    headers
        .get(name)?
        .to_str()
        .ok()
        .filter(|value| value.len() <= HEADER_MAX)
}

fn retry_after(value: &str) -> Option<RetryAfter> {
    if let Ok(seconds) = value.parse() {
        return Some(RetryAfter::Delay(Duration::from_secs(seconds)));
    }
    let date = DateTimeParser::new().parse_timestamp(value).ok()?;
    Some(RetryAfter::At(date))
}

fn header_map(headers: &[(&str, &str)]) -> Result<HeaderMap, EgressError> {
    let pair =
        |(name, value): &(&str, &str)| Some((name.parse::<HeaderName>().ok()?, HeaderValue::from_str(value).ok()?));
    let map: Option<HeaderMap> = headers.iter().map(pair).collect();
    map.ok_or(EgressError::Ours(Ours::Request))
}

fn proxy(url: &Secret) -> Result<(String, Proxy), BuildError> {
    let parsed = reqwest::Url::parse(url.expose()).map_err(|_| BuildError::Proxy)?;
    let host = parsed.host_str().ok_or(BuildError::Proxy)?.to_owned();
    let proxy = Proxy::all(parsed).map_err(|_| BuildError::Proxy)?;
    Ok((host, proxy))
}

fn authorities(config: &EgressConfig) -> Result<Vec<Certificate>, BuildError> {
    let Some(path) = &config.ca_bundle else {
        return Ok(Vec::new());
    };
    let unusable = |why: String| BuildError::Bundle(path.clone(), why);
    let pem = std::fs::read(path).map_err(|error: io::Error| unusable(error.to_string()))?;
    let bundle = Certificate::from_pem_bundle(&pem).map_err(|_| unusable("not PEM".to_owned()))?;
    if bundle.is_empty() {
        return Err(unusable("no certificate in it".to_owned()));
    }
    Ok(bundle)
}

fn label(outcome: &Result<Answer, EgressError>) -> &'static str {
    match outcome {
        Ok(answer) => match answer.status {
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        },
        Err(EgressError::Forbidden(_)) => "forbidden",
        Err(EgressError::Ours(_)) => "ours",
        Err(EgressError::Theirs(_)) => "theirs",
    }
}

#[cfg(test)]
mod tests;
