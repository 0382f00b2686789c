//! What intake is told by its operator.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use platform::http::Http;
use platform::secret::Secret;
use schemars::JsonSchema;
use serde::Deserialize;

/// Intake's configuration.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// How it listens.
    pub http: Http,
    /// The deployment's address as the world sees it, such as `https://privacy.example`; status links begin with it.
    pub public_url: String,
    /// The apps on Meta's platform whose webhooks arrive here, by the name in the webhook's address
    /// (`/channels/whatsapp/<name>`).
    pub apps: BTreeMap<String, App>,
    /// The Telegram bots whose updates arrive here, by their binding's id or account; the same name stands in the
    /// webhook's address (`/channels/telegram/<name>`).
    pub telegram: BTreeMap<String, Bot>,
    /// A file with the phrases that make a chat text a request, in place of the built-in ones.
    pub phrases: Option<PathBuf>,
}

impl Default for Config {
    /// The public address has no default: intake is not built without one.
    fn default() -> Self {
        Self {
            http: Http {
                listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
                ..Http::default()
            },
            public_url: String::new(),
            apps: BTreeMap::new(),
            telegram: BTreeMap::new(),
            phrases: None,
        }
    }
}

/// One app on Meta's platform.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct App {
    /// The app secret, under which webhooks are signed.
    pub secret: Secret,
    /// The app secret before the last reset; counts too, so that a reset loses nothing.
    #[serde(default)]
    pub previous_secret: Option<Secret>,
    /// What was entered as “verify token” where the webhook was configured.
    pub verify_token: Secret,
}

/// One Telegram bot.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bot {
    /// The `secret_token` that was given to `setWebhook`.
    pub secret: Secret,
    /// The one before it; counts too, so that a change loses nothing.
    #[serde(default)]
    pub previous_secret: Option<Secret>,
}
