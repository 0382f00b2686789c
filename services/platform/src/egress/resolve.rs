//! Names become addresses here, and are judged before anyone may dial them.
//!
//! The client asks this resolver for every new connection and dials only what it answers, so a name that changes
//! its mind between check and connection (DNS rebinding) gains nothing.

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::Semaphore;

use super::{Forbidden, Policy};

/// Below the time that a connection may take, so that a slow resolver is told from a slow peer.
const WITHIN: Duration = Duration::from_secs(4);

/// An eighth of the threads that the runtime has for blocking calls.
const LOOKUPS_MAX: usize = 64;

/// Why a name has no address for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum NameError {
    #[error(transparent)]
    Forbidden(Forbidden),
    #[error("the name does not exist")]
    Unknown,
    #[error("the resolver does not answer")]
    Resolver,
}

pub(super) type Looking = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// The network's names; tests bring their own.
pub(super) trait Lookup: Send + Sync + 'static {
    fn lookup(&self, name: String) -> Looking;
}

/// The system's resolver. It blocks a thread for each name, and a hostile name can make it hang: only so many
/// at once, and a name that was given up keeps its place until its thread is free again.
pub(super) struct SystemLookup(Arc<Semaphore>);

impl SystemLookup {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(LOOKUPS_MAX)))
    }
}

impl Lookup for SystemLookup {
    fn lookup(&self, name: String) -> Looking {
        let places = Arc::clone(&self.0);
        let looking = async move {
            let _place = places.acquire_owned().await.map_err(io::Error::other)?;
            let found = tokio::net::lookup_host((name, 0)).await?;
            Ok(found.map(|address| address.ip()).collect())
        };
        Box::pin(async move { tokio::spawn(looking).await? })
    }
}

/// A resolver that answers only what policy allows. The proxy is the operator's own choice and is not judged.
pub(super) struct Guarded {
    policy: Policy,
    proxy: Option<String>,
    lookup: Arc<dyn Lookup>,
}

impl Guarded {
    pub(super) fn new(policy: Policy, proxy: Option<String>, lookup: impl Lookup) -> Self {
        let lookup = Arc::new(lookup);
        Self { policy, proxy, lookup }
    }
}

impl Resolve for Guarded {
    fn resolve(&self, name: Name) -> Resolving {
        let name = name.as_str().to_owned();
        let looking = self.lookup.lookup(name.clone());
        let judge = self.proxy.as_ref() != Some(&name);
        let policy = judge.then(|| self.policy.clone());
        Box::pin(async move {
            let addresses = answered(looking).await?;
            if let Some(policy) = policy {
                policy.check_answer(&name, &addresses).map_err(NameError::Forbidden)?;
            }
            // Port 0 stands for the port of the URL.
            let addresses: Addrs = Box::new(addresses.into_iter().map(|address| SocketAddr::new(address, 0)));
            Ok(addresses)
        })
    }
}

async fn answered(looking: Looking) -> Result<Vec<IpAddr>, NameError> {
    let answer = tokio::time::timeout(WITHIN, looking).await;
    let addresses = answer
        .map_err(|_| NameError::Resolver)?
        .map_err(|error| name_error(&error))?;
    if addresses.is_empty() {
        Err(NameError::Unknown)
    } else {
        Ok(addresses)
    }
}

/// The C library's resolver has codes, but the standard library keeps only their words: "temporary" is the one
/// that means that the resolver could not find out. Everything else says that there is no such name.
fn name_error(error: &io::Error) -> NameError {
    if error.to_string().contains("emporary failure") || error.kind() == io::ErrorKind::TimedOut {
        NameError::Resolver
    } else {
        NameError::Unknown
    }
}
