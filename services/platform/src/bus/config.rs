//! Where the brokers are, and how long to wait for them.

use std::num::NonZeroU16;

use rdkafka::ClientConfig;
use schemars::JsonSchema;
use serde::Deserialize;

use super::BusError;
use crate::secret::Secret;

/// Twelve divides evenly over one, two, three, four, six or twelve consumers.
const PARTITIONS: NonZeroU16 = NonZeroU16::new(12).expect("twelve is not zero");

/// Room for the framing of the largest message, still within what brokers take.
const FRAMED_BYTES_MAX: &str = "1040000";

/// How often a member says how far it is behind; between two looks of whatever gathers figures.
const LAG_EVERY_MS: &str = "10000";

/// A cluster's bus.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BusConfig {
    /// `host:port`, several separated by commas; the others are found through these.
    pub brokers: String,
    /// Put before every topic and group, so that deployments can share a cluster.
    #[serde(default)]
    pub prefix: String,
    /// Partitions of a topic that is made.
    #[serde(default = "partitions")]
    pub partitions: NonZeroU16,
    /// Copies of a topic that is made. Left out: 3 where there are three brokers, otherwise 1.
    #[serde(default)]
    pub replication: Option<NonZeroU16>,
    /// A name that is this process's alone and stays over restarts (a pod's name): a restart within the session
    /// time then moves no partitions. With it, a process joins each group once.
    #[serde(default)]
    pub instance: Option<String>,
    /// How group members share partitions.
    #[serde(default)]
    pub group_protocol: GroupProtocol,
    /// How batches are compressed.
    #[serde(default)]
    pub compression: Compression,
    /// Who may listen, and who we are.
    #[serde(default)]
    pub security: Security,
    /// How long things may take.
    #[serde(default)]
    pub timing: Timing,
}

/// How group members share partitions.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum GroupProtocol {
    /// Cooperative-sticky, with any broker.
    #[default]
    Classic,
    /// KIP-848: the broker assigns; needs Kafka 4.0, and the broker's session time-out applies.
    Consumer,
}

/// How batches are compressed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum Compression {
    #[default]
    Zstd,
    Lz4,
    None,
}

/// How the brokers are spoken to. Certificates and keys are PEM texts.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Security {
    /// With or without TLS, with or without a login.
    pub protocol: SecurityProtocol,
    /// Authorities that the brokers' certificates are checked against; otherwise the system's.
    pub ca: Option<String>,
    /// Our certificate, where brokers ask for one.
    pub certificate: Option<String>,
    /// Its private key.
    pub key: Option<Secret>,
    /// What the key is encrypted with.
    pub key_password: Option<Secret>,
    /// How the login is sent.
    pub mechanism: SaslMechanism,
    /// Who we are.
    pub username: Option<String>,
    /// What proves it.
    pub password: Option<Secret>,
}

/// With or without TLS, with or without a login.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum SecurityProtocol {
    #[default]
    Plaintext,
    Ssl,
    SaslPlaintext,
    SaslSsl,
}

/// How the login is sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[expect(missing_docs, reason = "the names are the documentation")]
pub enum SaslMechanism {
    #[serde(rename = "PLAIN")]
    Plain,
    #[serde(rename = "SCRAM-SHA-256")]
    ScramSha256,
    #[default]
    #[serde(rename = "SCRAM-SHA-512")]
    ScramSha512,
}

/// How long things may take, in milliseconds.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Timing {
    /// How long a message may wait for its acknowledgement before its publisher is told that there was none.
    #[serde(deserialize_with = "crate::config::positive")]
    #[schemars(range(min = 1))]
    pub publish_ms: u32,
    /// How long a message waits for company in its batch.
    pub linger_ms: u32,
    /// How long a member may be silent before its partitions go to others (classic groups).
    #[serde(deserialize_with = "crate::config::positive")]
    #[schemars(range(min = 1))]
    pub session_ms: u32,
    /// How long `check` and the administration of topics wait for an answer.
    #[serde(deserialize_with = "crate::config::positive")]
    #[schemars(range(min = 1))]
    pub answer_ms: u32,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            // Longer than a leader's fail-over, shorter than anybody's patience with an outbox that stands still.
            publish_ms: 30_000,
            // An outbox hands over what it has at once, so a batch is there already, and somebody may wait for one message.
            linger_ms: 1,
            // Kafka's own default, for brokers behind a slow network.
            session_ms: 45_000,
            answer_ms: 5_000,
        }
    }
}

impl BusConfig {
    /// Settings that producers, consumers and administration share.
    pub(super) fn client(&self) -> Result<ClientConfig, BusError> {
        if self.brokers.trim().is_empty() {
            return Err(BusError::Config(
                "`brokers` is empty; it needs at least one host:port".into(),
            ));
        }
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &self.brokers);
        // A topic that is made late is found within this time.
        client.set("topic.metadata.refresh.interval.ms", "30000");
        self.security.apply(&mut client);
        Ok(client)
    }

    /// Settings of the producer. Idempotence keeps the order within a partition over retries and implies
    /// acknowledgement by all in-sync replicas, which is said once more because durability rests on it.
    pub(super) fn producer(&self) -> Result<ClientConfig, BusError> {
        let mut client = self.client()?;
        client.set("enable.idempotence", "true").set("acks", "all");
        client.set("message.timeout.ms", self.timing.publish_ms.to_string());
        client.set("message.max.bytes", FRAMED_BYTES_MAX);
        client.set("linger.ms", self.timing.linger_ms.to_string());
        client.set("compression.type", self.compression.as_str());
        // As Java's clients do it, so that equal keys meet in one partition whoever wrote them.
        client.set("partitioner", "murmur2_random");
        Ok(client)
    }

    /// Settings of a member of `group`.
    pub(super) fn consumer(&self, group: &str) -> Result<ClientConfig, BusError> {
        let mut client = self.client()?;
        client.set("group.id", format!("{}{group}", self.prefix));
        client.set("auto.offset.reset", "earliest");
        client.set("allow.auto.create.topics", "false");
        client.set("statistics.interval.ms", LAG_EVERY_MS);
        // Only what `commit` stored is committed, in the background: an explicit commit that meets a rebalance
        // makes librdkafka join again (its issue 4059).
        client
            .set("enable.auto.offset.store", "false")
            .set("enable.auto.commit", "true");
        client.set("auto.commit.interval.ms", "500");
        // 16 MB fetched ahead instead of 64: there are several groups in a process.
        client.set("queued.max.messages.kbytes", "16384");
        client.set("fetch.queue.backoff.ms", "50");
        if let Some(instance) = &self.instance {
            client.set("group.instance.id", instance);
        }
        match self.group_protocol {
            GroupProtocol::Classic => client
                .set("partition.assignment.strategy", "cooperative-sticky")
                .set("session.timeout.ms", self.timing.session_ms.to_string())
                .set(
                    "heartbeat.interval.ms",
                    (self.timing.session_ms / 3).clamp(1, 3_000).to_string(),
                ),
            GroupProtocol::Consumer => client.set("group.protocol", "consumer"),
        };
        Ok(client)
    }
}

impl Security {
    fn apply(&self, client: &mut ClientConfig) {
        client.set("security.protocol", self.protocol.as_str());
        let mut set = |name: &str, value: Option<&str>| {
            if let Some(value) = value {
                client.set(name, value);
            }
        };
        set("ssl.ca.pem", self.ca.as_deref());
        set("ssl.certificate.pem", self.certificate.as_deref());
        set("ssl.key.pem", self.key.as_ref().map(Secret::expose));
        set("ssl.key.password", self.key_password.as_ref().map(Secret::expose));
        if let SecurityProtocol::SaslPlaintext | SecurityProtocol::SaslSsl = self.protocol {
            set("sasl.mechanism", Some(self.mechanism.as_str()));
            set("sasl.username", self.username.as_deref());
            set("sasl.password", self.password.as_ref().map(Secret::expose));
        }
    }
}

impl Compression {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Lz4 => "lz4",
            Self::None => "none",
        }
    }
}

impl SecurityProtocol {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Plaintext => "plaintext",
            Self::Ssl => "ssl",
            Self::SaslPlaintext => "sasl_plaintext",
            Self::SaslSsl => "sasl_ssl",
        }
    }
}

impl SaslMechanism {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Plain => "PLAIN",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::ScramSha512 => "SCRAM-SHA-512",
        }
    }
}

const fn partitions() -> NonZeroU16 {
    PARTITIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brokers_are_enough_and_unknown_keys_are_refused() {
        let config: BusConfig = toml::from_str("brokers = 'a:9092,b:9092'").unwrap();
        assert_eq!(
            (config.partitions.get(), config.replication, config.prefix.as_str()),
            (12, None, "")
        );
        assert_eq!(config.timing.publish_ms, 30_000);
        let partial: BusConfig = toml::from_str("brokers = 'a:9092'\ntiming.session_ms = 6000").unwrap();
        assert_eq!((partial.timing.session_ms, partial.timing.linger_ms), (6_000, 1));
        for wrong in [
            "",
            "brokers = 'a'\nbroker = 'b'",
            "brokers = 'a'\npartitions = 0",
            "brokers = 'a'\ntiming.x = 1",
        ] {
            assert!(toml::from_str::<BusConfig>(wrong).is_err(), "{wrong}");
        }
        let empty: BusConfig = toml::from_str("brokers = ' '").unwrap();
        assert!(matches!(empty.client(), Err(BusError::Config(_))));
    }

    /// librdkafka checks names and values when a client is made.
    #[tokio::test]
    async fn librdkafka_takes_every_setting() {
        let logins = ["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"];
        let settings = [
            "instance = 'one'",
            "compression = 'lz4'",
            "compression = 'none'",
            "group_protocol = 'consumer'",
        ];
        let logins = logins.map(|protocol| {
            format!(
                "security = {{ protocol = '{protocol}', mechanism = 'PLAIN', username = 'me', password = 'hidden' }}"
            )
        });
        for setting in settings.into_iter().map(str::to_owned).chain(logins) {
            let config: BusConfig = toml::from_str(&format!("brokers = '127.0.0.1:1'\n{setting}")).unwrap();
            let bus = crate::bus::kafka(&config).unwrap();
            assert!(bus.subscribe("g", &["t".into()]).await.is_ok(), "{setting}");
            assert!(!format!("{bus:?}").contains("hidden"), "{setting}");
        }
    }
}
