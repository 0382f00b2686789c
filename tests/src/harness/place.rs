//! Where a router keeps what it has, and what it is told: one configuration file, read by the router in this process
//! and by real processes alike.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use platform::bus::TopicMode;
use platform::chance::SystemRng;
use platform::keyring::{self, Part};
use quittance::commands::topics;
use quittance::deployment::{Database, Deployment};
use quittance::key_files;
use quittance::settings::Settings;

use super::folder::Folder;
use super::person::fresh;
use crate::parts::postgres::Server;
use crate::parts::{free_ports, kafka, postgres};

/// The app on Meta's platform.
pub const APP: &str = "smart-reply";

/// Under which Meta signs for it.
pub const APP_SECRET: &str = "a secret of Meta's and ours";

/// What was entered where its webhook was configured.
pub const VERIFY_TOKEN: &str = "the word at the gate";

/// What Telegram says with every update.
pub const BOT_SECRET: &str = "bot-secret_0123456789";

/// The log's name.
pub(super) const ORIGIN: &str = "ledger.example/dsr";

/// More businesses than a test binary registers; beyond them, bots would be shared.
const BOTS: usize = 400;

/// Where a router keeps what it has.
#[derive(Debug)]
pub struct Place {
    /// Keys, configuration, and the embedded databases; gone with it.
    pub folder: Folder,
    /// PostgreSQL databases and the brokers; files in the folder if not said.
    pub cluster: Option<Cluster>,
    /// Further lines of the configuration.
    pub more: String,
    /// Of intake, dispatch and ledger.
    ports: [u16; 3],
}

/// The databases and the brokers of a cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// The router's database.
    pub router: String,
    /// The key store.
    pub keys: String,
    /// The ledger's.
    pub ledger: String,
    /// The brokers.
    pub brokers: String,
    /// Before every topic and group.
    pub prefix: String,
}

impl Place {
    /// Everything in one folder.
    #[must_use]
    pub fn embedded() -> Self {
        Self::new(None)
    }

    /// On the parts that `./tests/run` started.
    pub async fn cluster() -> Self {
        Self::on(&postgres::shared(), kafka::shared()).await
    }

    /// On these parts, with databases and topics of its own.
    pub async fn on(server: &Server, brokers: &str) -> Self {
        Self::new(Some(Cluster {
            router: server.database("router").await,
            keys: server.database("keys").await,
            ledger: server.database("ledger").await,
            brokers: brokers.to_owned(),
            prefix: format!("t{}.", fresh()),
        }))
    }

    /// With times so short that a kill is got over in seconds, and attempts that hang are soon begun anew.
    #[must_use]
    pub fn in_a_hurry(mut self) -> Self {
        self.more += "[dispatch]\nreconcile_seconds = 2\n\
            [dispatch.deliver]\nlease_ms = 2000\npoll_ms = 250\nattempt_ms = 3000\n\
            [dispatch.deliver.schedule]\nsteps_seconds = [1, 1, 2]\n";
        self
    }

    /// Where what is late is stated about within seconds.
    #[must_use]
    pub fn impatient(self) -> Self {
        let mut place = self.in_a_hurry();
        place.more += "[dispatch.deadlines]\ngrace_seconds = 1\n";
        place
    }

    fn new(cluster: Option<Cluster>) -> Self {
        Self {
            folder: Folder::new(),
            cluster,
            more: String::new(),
            ports: free_ports().expect("ports are free"),
        }
    }

    /// A file in its folder.
    #[must_use]
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Where intake, dispatch and the ledger listen.
    #[must_use]
    pub fn urls(&self) -> [String; 3] {
        self.ports.map(|port| format!("http://127.0.0.1:{port}"))
    }

    /// The configuration file.
    #[must_use]
    pub fn config(&self) -> PathBuf {
        self.file("quittance.toml")
    }

    /// Writes the configuration, and says what was written.
    ///
    /// # Panics
    /// When it can't be written, or is wrong.
    #[must_use]
    pub fn write(&self) -> Deployment {
        fs::write(self.config(), self.text()).expect("the configuration is written");
        Deployment::new(Settings::load(Some(&self.config())).expect("the configuration is right"))
    }

    /// Writes the configuration, makes keys, schemas and topics, and says what was written.
    ///
    /// # Panics
    /// When something of that fails.
    pub async fn prepare(&self) -> Deployment {
        let deployment = self.write();
        let rng = SystemRng::new();
        keyring::create(&self.file("keys.toml"), Part::ALL, &rng).expect("the key ring is made");
        ledger::log_key::create(&self.file("log.key"), &rng).expect("the log key is made");
        key_files::create(&self.file("statement.jwk"), &rng).expect("the statement key is made");
        for which in Database::ALL {
            let db = deployment.connect(which).await.expect("the database answers");
            db.migrate(&which.migrations()).await.expect("the schema is made");
            db.close().await;
        }
        if self.cluster.is_some() {
            let bus = deployment.bus().await.expect("the bus's settings are right");
            bus.topics(&topics::specs(), TopicMode::Create)
                .await
                .expect("the brokers make topics");
            bus.close().await;
        }
        deployment
    }

    /// Short times, so that whoever takes over from somebody killed doesn't wait long.
    fn text(&self) -> String {
        let [intake, dispatch, ledger] = self.ports;
        let mut text = format!("data = '{}'\n{}", self.folder.path().display(), self.more);
        if let Some(cluster) = &self.cluster {
            let _ = write!(
                text,
                "[kafka]\nbrokers = {:?}\nprefix = {:?}\npartitions = 2\n\
                 [kafka.timing]\nsession_ms = 6000\npublish_ms = 10000\n",
                cluster.brokers, cluster.prefix
            );
            for (name, url) in [
                ("router", &cluster.router),
                ("keys", &cluster.keys),
                ("ledger", &cluster.ledger),
            ] {
                let _ = write!(text, "[databases.{name}]\nurl = {url:?}\n");
            }
        }
        let _ = write!(
            text,
            "[intake.http]\nlisten = '127.0.0.1:{intake}'\nworkers = 2\n\
             [intake.apps.{APP}]\nsecret = {APP_SECRET:?}\nverify_token = {VERIFY_TOKEN:?}\n\
             [dispatch.http]\nlisten = '127.0.0.1:{dispatch}'\nworkers = 2\n\
             [dispatch.egress]\ntrusted = ['127.0.0.0/8']\n\
             [ledger]\norigin = {ORIGIN:?}\n[ledger.http]\nlisten = '127.0.0.1:{ledger}'\nworkers = 1\n"
        );
        // Links lead to intake, receipts are addressed to dispatch: one name for both.
        let public = format!("public_url = 'http://127.0.0.1:{dispatch}'\n");
        for bot in bots() {
            let _ = write!(text, "[intake.telegram.{bot}]\nsecret = {BOT_SECRET:?}\n");
        }
        public + &text
    }
}

/// The bots that intake knows.
pub(super) fn bots() -> impl Iterator<Item = String> {
    (0..BOTS).map(|number| format!("7{number:09}"))
}
