//! What a deployment is told: one TOML file for all of its processes, environment variables over it.
//!
//! `QUITTANCE__SECTION__KEY` sets a key and `QUITTANCE__SECTION__KEY_FILE` names a file whose content is the value,
//! which is how secrets come in. Every key has a default for one machine, so that no file at all is a deployment too:
//! SQLite and the bus in the folder `data`. With `[databases]` it is PostgreSQL, with `[kafka]` it is Kafka; each
//! process is given the credentials of its own databases only. Unknown keys are refused.

use std::path::{Path, PathBuf};

use platform::bus::BusConfig;
use platform::config::{self, DatabaseConfig};
use platform::http::Http;
use platform::telemetry::Telemetry;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::failure::Failure;

/// What environment variables begin with.
pub const PREFIX: &str = "QUITTANCE";

/// A deployment.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Where the world reaches this deployment: the audience of receipts and the base of every link, without a final
    /// slash. What is behind it sends `/v1/receipts` and `/schemas` to dispatch, `/log` and `/v1/audit` to the ledger,
    /// and the rest to intake. Not said, each service is known by the address that it listens on.
    pub public_url: Option<String>,
    /// The folder of the embedded deployment: its databases, its bus, and its keys unless they are said to lie elsewhere.
    pub data: PathBuf,
    /// The file with the root keys, made by `quittance keys init`; `keys.toml` in `data` if not said.
    pub key_ring: Option<PathBuf>,
    /// PostgreSQL databases; SQLite files in `data` if not said.
    pub databases: Option<Databases>,
    /// The brokers; a file in `data` if not said.
    pub kafka: Option<BusConfig>,
    /// Log, traces and figures.
    pub telemetry: Telemetry,
    /// The doors' own settings.
    pub intake: intake::Config,
    /// Dispatch's own settings.
    pub dispatch: dispatch::Config,
    /// The ledger's own settings.
    pub ledger: ledger::Config,
}

/// The databases that this process may use. One that it has no business with is left out.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Databases {
    /// Requests, tasks, receipts: the system of record.
    pub router: Option<DatabaseConfig>,
    /// Wrapped data keys; its backups are short-lived.
    pub keys: Option<DatabaseConfig>,
    /// The log; with credentials of its own.
    pub ledger: Option<DatabaseConfig>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            public_url: None,
            data: PathBuf::from("quittance-data"),
            key_ring: None,
            databases: None,
            kafka: None,
            telemetry: Telemetry::default(),
            intake: intake::Config::default(),
            dispatch: dispatch::Config::default(),
            ledger: ledger::Config::default(),
        }
    }
}

impl Settings {
    /// Reads the file, if one is named, and the environment.
    pub fn load(file: Option<&Path>) -> Result<Self, Failure> {
        let settings: Self = config::load(file, PREFIX)?;
        settings.checked()
    }

    fn checked(self) -> Result<Self, Failure> {
        let Some(url) = &self.public_url else { return Ok(self) };
        let scheme = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
        let plain = |rest: &str| !rest.is_empty() && !rest.contains(['?', '#', ' ', '@']) && !rest.ends_with('/');
        if scheme.is_some_and(plain) {
            Ok(self)
        } else {
            Err(Failure::usage(format!(
                "`public_url` is `{url}`; write it as https://host, with a path if need be, without a final slash"
            )))
        }
    }

    /// Whether everything lies in the folder `data`.
    #[must_use]
    pub fn is_embedded(&self) -> bool {
        self.databases.is_none() && self.kafka.is_none()
    }

    /// The file with the root keys.
    #[must_use]
    pub fn key_ring(&self) -> PathBuf {
        self.key_ring.clone().unwrap_or_else(|| self.data.join("keys.toml"))
    }

    /// The audience of receipts.
    #[must_use]
    pub fn public_url(&self) -> String {
        self.dispatch().public_url
    }

    /// The doors' settings, with what follows from the rest.
    #[must_use]
    pub fn intake(&self) -> intake::Config {
        let mut config = self.intake.clone();
        self.name(&mut config.public_url, &config.http);
        config
    }

    /// Dispatch's settings, with what follows from the rest.
    #[must_use]
    pub fn dispatch(&self) -> dispatch::Config {
        let mut config = self.dispatch.clone();
        self.name(&mut config.public_url, &config.http);
        config
    }

    fn name(&self, service_url: &mut String, http: &Http) {
        if service_url.is_empty() {
            *service_url = self
                .public_url
                .clone()
                .unwrap_or_else(|| format!("http://{}", http.listen));
        }
    }

    /// The ledger's settings, with what follows from the rest: the log is called like the public address, and its key
    /// lies in `data`.
    #[must_use]
    pub fn ledger(&self) -> ledger::Config {
        let mut config = self.ledger.clone();
        if config.origin.is_empty() {
            let url = self.public_url();
            let host = url.split_once("://").map_or("", |(_, rest)| rest);
            host.clone_into(&mut config.origin);
        }
        if config.log_key.as_os_str().is_empty() {
            config.log_key = self.data.join("log.key");
        }
        if self.is_embedded() && config.name.is_none() {
            // One process has the folder: what starts after a crash goes on at once and waits for nobody.
            config.name = Some("embedded".to_owned());
        }
        config
    }

    /// The file with the key of our own statements.
    #[must_use]
    pub fn statement_key(&self) -> PathBuf {
        self.data.join("statement.jwk")
    }
}

/// The JSON Schema of a configuration file; editors complete and check with it.
///
/// # Panics
/// Never: a schema is JSON.
#[must_use]
pub fn schema() -> String {
    let schema = schemars::schema_for!(Settings);
    serde_json::to_string_pretty(&schema).expect("a schema is JSON") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_url_is_one_that_links_can_be_made_of() {
        let check = |url: &str| {
            let settings = Settings {
                public_url: Some(url.to_owned()),
                ..Settings::default()
            };
            settings.checked().is_ok()
        };
        for good in ["https://dsr.example", "http://127.0.0.1:8080", "https://a.example/dsr"] {
            assert!(check(good), "{good}");
        }
        for bad in [
            "dsr.example",
            "https://",
            "https://dsr.example/",
            "ftp://x",
            "https://me@x",
            "https://x?y",
        ] {
            assert!(!check(bad), "{bad}");
        }
    }

    /// Run with `UPDATE_SCHEMAS=1` to write it anew.
    #[test]
    fn the_published_schema_is_this_one() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/config/quittance.schema.json");
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            std::fs::write(&file, schema()).unwrap();
        }
        let published = std::fs::read_to_string(&file).unwrap();
        assert!(
            published == schema(),
            "stale: run the tests of quittance with UPDATE_SCHEMAS=1"
        );
    }

    #[test]
    fn nothing_said_is_a_deployment_in_one_folder() {
        let settings: Settings = config::load_from(None, PREFIX, []).unwrap();
        assert!(settings.is_embedded());
        assert_eq!(settings.key_ring(), Path::new("quittance-data/keys.toml"));
        let said = [
            ("QUITTANCE__DATABASES__ROUTER__URL", "postgres://a@b/c"),
            ("QUITTANCE__DATA", "d"),
        ];
        let said = said.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings: Settings = config::load_from(None, PREFIX, said).unwrap();
        assert!(!settings.is_embedded() && settings.data == Path::new("d"));
    }
}
