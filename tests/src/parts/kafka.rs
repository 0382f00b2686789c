//! A real Apache Kafka (KRaft, no ZooKeeper): one broker, or several that vote.
//!
//! The jars come from the cache that `./tests/run` fills from `tests/parts/kafka/pom.xml`. Each broker is its own
//! Java process with its own folder and two ports, one for clients and one for the vote. It is ready when it answers
//! a client's question about the cluster with every broker in it: an open port says less. Times are short where a
//! test would wait for them: a new member joins a group at once, a killed broker's lease ends after five seconds.

use std::env;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use tempfile::TempDir;

use super::port;
use super::process::Process;

/// Names the brokers that are running already, as `host:port`.
pub const VARIABLE: &str = "QUITTANCE_TEST_KAFKA";

/// The release that `tests/parts/kafka/pom.xml` names; its jars are cached under this name.
const RELEASE: &str = "kafka-4.1.0";

/// What names the cluster in its folders; any 16 bytes in base64 will do.
const CLUSTER: &str = "cXVpdHRhbmNlLXRlc3RzIQ";

/// Three brokers, each resident with less than 400 MB, and the tests fit in a small machine; nothing is left in /tmp.
const JAVA: [&str; 5] = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:-UsePerfData", "-cp"];

/// The same for each broker. The lease is a compromise: a restart after a kill waits for it to end, and a broker
/// starved of processor by a build must not lose it.
const SETTINGS: &str = "\
process.roles=broker,controller
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
broker.heartbeat.interval.ms=500
broker.session.timeout.ms=5000
auto.create.topics.enable=false
num.partitions=1
offsets.topic.num.partitions=4
transaction.state.log.num.partitions=4
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
log.cleaner.dedupe.buffer.size=4194304
";

/// Where the brokers listen that `./tests/run` started.
///
/// # Panics
/// When `QUITTANCE_TEST_KAFKA` is not set; the message says what to do.
#[must_use]
pub fn shared() -> &'static str {
    super::shared(VARIABLE)
}

/// Brokers of a test's own, that it may kill and start again. They end with it.
pub struct Kafka {
    brokers: Vec<Broker>,
}

impl Kafka {
    /// One broker; about five seconds on a free core.
    ///
    /// # Errors
    /// When the jars or Java are missing, or it does not start; the text says which, and how to mend it.
    pub async fn start() -> io::Result<Self> {
        Self::start_brokers(1).await
    }

    /// `count` brokers with the topics on each, of which all but one must have a record before it is acknowledged.
    ///
    /// # Errors
    /// As [`Kafka::start`].
    pub async fn start_brokers(count: usize) -> io::Result<Self> {
        let ports = (0..count).map(|_| port::free::<2>()).collect::<io::Result<Vec<_>>>()?;
        let brokers = (0..count)
            .map(|index| Broker::start(index, &ports))
            .collect::<io::Result<_>>()?;
        let mut kafka = Self { brokers };
        kafka.ready().await?;
        Ok(kafka)
    }

    /// Every broker as `host:port`, with commas between: what a client takes as `bootstrap.servers`.
    #[must_use]
    pub fn bootstrap(&self) -> String {
        let addresses: Vec<_> = self.brokers.iter().map(Broker::address).collect();
        addresses.join(",")
    }

    /// Like a power cut of all.
    pub fn kill_dash_nine(&mut self) {
        self.brokers.iter_mut().for_each(Broker::kill_dash_nine);
    }

    /// Starts all of them again on the same ports and data.
    ///
    /// # Errors
    /// When one does not start; the text holds the end of its log.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.brokers.iter_mut().try_for_each(Broker::restart)?;
        self.ready().await
    }

    /// One of them, counted from 0.
    ///
    /// # Panics
    /// When there are not so many.
    pub fn broker(&mut self, index: usize) -> &mut Broker {
        &mut self.brokers[index]
    }

    /// Waits until each broker answers and knows of all.
    ///
    /// # Errors
    /// When one ended or takes too long.
    pub async fn ready(&mut self) -> io::Result<()> {
        let count = self.brokers.len();
        for broker in &mut self.brokers {
            let address = broker.address();
            broker.process.until(|| knows(address.clone(), count)).await?;
        }
        Ok(())
    }
}

/// One process of a [`Kafka`].
pub struct Broker {
    process: Process,
    port: u16,
    folder: TempDir,
}

impl Broker {
    fn start(index: usize, ports: &[[u16; 2]]) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("quittance-kafka-").tempdir()?;
        fs::write(settings(folder.path()), describe(index, ports, folder.path()))?;
        format(folder.path())?;
        Ok(Self {
            process: launch(folder.path())?,
            port: ports[index][0],
            folder,
        })
    }

    /// Like a power cut.
    pub fn kill_dash_nine(&mut self) {
        self.process.kill_dash_nine();
    }

    /// Starts it again on the same port and data; [`Kafka::ready`] waits until it is back.
    ///
    /// # Errors
    /// When Java can't be started.
    pub fn restart(&mut self) -> io::Result<()> {
        self.process.stop("TERM");
        self.process = launch(self.folder.path())?;
        Ok(())
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

fn describe(index: usize, ports: &[[u16; 2]], folder: &Path) -> String {
    let voters: Vec<_> = ports
        .iter()
        .enumerate()
        .map(|(id, [_, vote])| format!("{id}@127.0.0.1:{vote}"))
        .collect();
    let [clients, vote] = ports[index];
    let copies = ports.len();
    let enough = copies.saturating_sub(1).max(1);
    format!(
        "{SETTINGS}\
        node.id={index}\n\
        controller.quorum.voters={}\n\
        listeners=PLAINTEXT://127.0.0.1:{clients},CONTROLLER://127.0.0.1:{vote}\n\
        advertised.listeners=PLAINTEXT://127.0.0.1:{clients}\n\
        log.dirs={}\n\
        default.replication.factor={copies}\n\
        min.insync.replicas={enough}\n\
        offsets.topic.replication.factor={copies}\n\
        transaction.state.log.replication.factor={copies}\n\
        transaction.state.log.min.isr={enough}\n",
        voters.join(","),
        folder.join("data").display(),
    )
}

fn format(folder: &Path) -> io::Result<()> {
    let made = java("kafka.tools.StorageTool")?
        .args(["format", "-t", CLUSTER, "-c"])
        .arg(settings(folder))
        .output()?;
    if made.status.success() {
        return Ok(());
    }
    Err(io::Error::other(format!(
        "Kafka's storage was not formatted: {}",
        String::from_utf8_lossy(&made.stderr)
    )))
}

fn launch(folder: &Path) -> io::Result<Process> {
    let mut command = java("kafka.Kafka")?;
    command.arg(settings(folder)).current_dir(folder);
    Process::spawn(&mut command, &folder.join("kafka.log"), folder)
}

fn java(class: &str) -> io::Result<Command> {
    let jars = jars()?;
    if !jars.is_dir() {
        let text = format!(
            "Kafka's jars are not in {}: `./tests/run parts` fetches them once",
            jars.display()
        );
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    let mut command = Command::new("java");
    command.args(JAVA).arg(jars.join("*")).arg(class);
    Ok(command)
}

/// The folder that `./tests/run` fills, found by the same rule.
fn jars() -> io::Result<PathBuf> {
    let below = |variable: &str, rest: &str| env::var_os(variable).map(|folder| Path::new(&folder).join(rest));
    let cache = below("QUITTANCE_CACHE", "")
        .or_else(|| below("XDG_CACHE_HOME", "quittance"))
        .or_else(|| below("HOME", ".cache/quittance"));
    cache
        .map(|cache| cache.join(RELEASE))
        .ok_or_else(|| io::Error::other("set HOME or QUITTANCE_CACHE: neither is"))
}

fn settings(folder: &Path) -> PathBuf {
    folder.join("server.properties")
}

/// Whether the broker at `address` answers, and counts `count` of them.
async fn knows(address: String, count: usize) -> bool {
    let asked = tokio::task::spawn_blocking(move || {
        let client: BaseConsumer = ClientConfig::new().set("bootstrap.servers", address).create().ok()?;
        let answer = client.fetch_metadata(None, Duration::from_secs(2)).ok()?;
        Some(answer.brokers().len())
    });
    asked.await.ok().flatten() == Some(count)
}
