//! What a ledger is told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use platform::http::Http;
use schemars::JsonSchema;
use serde::Deserialize;

/// A ledger's own settings; its databases and bus come with [`crate::Deps`].
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Where auditors and witnesses reach it.
    pub http: Http,
    /// The log's identity for ever, such as `ledger.example.org/dsr`: no scheme, no white space, no `+`.
    pub origin: String,
    /// The file with the key that signs the log's heads; made by `quittance keys init`.
    pub log_key: PathBuf,
    /// A process that starts under the holder's name takes the log over at once; unset, a name is drawn.
    pub name: Option<String>,
    /// How often waiting entries are given their places, in milliseconds.
    #[serde(deserialize_with = "platform::config::positive")]
    #[schemars(range(min = 1))]
    pub interval_ms: u64,
    /// How many entries are given places at once, at most.
    #[serde(deserialize_with = "platform::config::positive")]
    #[schemars(range(min = 1))]
    pub batch_max: u32,
    /// How long the log stays with a process that is not heard of, in milliseconds.
    #[serde(deserialize_with = "platform::config::positive")]
    #[schemars(range(min = 1))]
    pub hold_ms: u64,
}

impl Default for Config {
    /// Origin and key file have no default: a ledger without them is not built.
    fn default() -> Self {
        Self {
            http: Http {
                listen: SocketAddr::from(([127, 0, 0, 1], 8082)),
                ..Http::default()
            },
            origin: String::new(),
            log_key: PathBuf::new(),
            name: None,
            // A receipt is in the log within a blink, and a day has no more than 345,600 heads.
            interval_ms: 250,
            // A quarter of a second at twenty thousand a second; with their bytes they take some 5 MB.
            batch_max: 5_000,
            // Many times the longest batch; nobody waits longer for a receipt's place after a crash.
            hold_ms: 5_000,
        }
    }
}

impl Config {
    pub(crate) fn interval_duration(&self) -> Duration {
        Duration::from_millis(self.interval_ms.max(1))
    }
}
