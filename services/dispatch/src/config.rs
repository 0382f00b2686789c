//! What dispatch is told by its operator.

use std::net::SocketAddr;

use platform::egress::EgressConfig;
use platform::http::Http;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::{deadlines, deliver, herald};

/// Dispatch's configuration.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How it listens, for receipts.
    pub http: Http,
    /// The deployment's address as the world sees it: the audience of receipts, and the base of the addresses that
    /// tasks name.
    pub public_url: String,
    /// How webhooks leave.
    pub egress: EgressConfig,
    /// How tasks are delivered.
    pub deliver: deliver::Config,
    /// How clients' systems are told what happened beside their tasks.
    pub messages: herald::Config,
    /// When something is said about deadlines.
    pub deadlines: deadlines::Config,
    /// How often is looked for what was left behind, and for deadlines.
    #[serde(deserialize_with = "platform::config::positive")]
    #[schemars(range(min = 1))]
    pub reconcile_seconds: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            http: Http {
                listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
                ..Http::default()
            },
            public_url: String::new(),
            egress: EgressConfig::default(),
            deliver: deliver::Config::default(),
            messages: herald::Config::default(),
            deadlines: deadlines::Config::default(),
            // What it finds is rare and already late by a minute.
            reconcile_seconds: 15,
        }
    }
}
