//! A real PostgreSQL in a temporary folder, and databases in it.
//!
//! PostgreSQL refuses to run as root, so then it runs as the system's `postgres` user, who owns the folder.
//! Durability is left at its defaults, `fsync` and `synchronous_commit` on: tests that kill it claim that what was
//! committed is still there. It listens on the loopback alone and trusts whoever connects.

use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use tempfile::TempDir;

use super::port;
use super::process::Process;

/// Names the server that is already running, as `postgres://user@host:port`.
pub const VARIABLE: &str = "QUITTANCE_TEST_PG";

/// Oldest major version that the migrations are written for.
const OLDEST: u32 = 15;

/// Where Debian and its relatives put one folder per major version.
const INSTALLED: &str = "/usr/lib/postgresql";

/// A library that counts statements, connections for parallel journeys (each router takes tens), little else.
const SETTINGS: &str = "\
listen_addresses = '127.0.0.1'
unix_socket_directories = ''
shared_preload_libraries = 'pg_stat_statements'
max_connections = 400
max_wal_size = 2GB
dynamic_shared_memory_type = mmap
lc_messages = 'C'
timezone = 'UTC'
";

/// The server that `./tests/run` started.
///
/// # Panics
/// When `QUITTANCE_TEST_PG` is not set; the message says what to do.
#[must_use]
pub fn shared() -> Server {
    Server {
        url: super::shared(VARIABLE).trim_end_matches('/').to_owned(),
    }
}

/// A server to make databases in.
#[derive(Debug, Clone)]
pub struct Server {
    url: String,
}

impl Server {
    /// Where it listens, without a database: `postgres://user@host:port`.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Makes an empty database under a name of its own that starts with `prefix`, and returns its address.
    /// It lives as long as the server.
    ///
    /// # Panics
    /// When the server can't be reached or refuses.
    pub async fn database(&self, prefix: &str) -> String {
        self.create(prefix, "template0").await
    }

    /// Makes a copy of the database at `template` (an address that [`Server::database`] returned, with nobody
    /// connected), as a migrated one is copied for each test.
    ///
    /// # Panics
    /// When the server can't be reached or refuses, for instance because someone is connected to the template.
    pub async fn clone_of(&self, template: &str, prefix: &str) -> String {
        let name = template.rsplit('/').next().expect("rsplit yields at least one piece");
        self.create(prefix, name).await
    }

    async fn create(&self, prefix: &str, template: &str) -> String {
        let name = unique(prefix);
        let mut connection = connect(&self.address("postgres"))
            .await
            .expect("PostgreSQL can be reached");
        let statement = format!(r#"CREATE DATABASE "{name}" TEMPLATE "{template}""#);
        connection
            .execute(AssertSqlSafe(statement))
            .await
            .expect("PostgreSQL makes a database");
        self.address(&name)
    }

    fn address(&self, database: &str) -> String {
        format!("{}/{database}", self.url)
    }
}

/// A server of a test's own, that it may kill and start again. Ends with it.
pub struct Postgres {
    server: Server,
    process: Process,
    programs: PathBuf,
    port: u16,
    folder: TempDir,
}

impl Postgres {
    /// Makes an empty cluster and starts it; about two seconds.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, or does not start; the text says which, and how to mend it.
    pub async fn start() -> io::Result<Self> {
        let programs = programs()?;
        let [port] = port::free()?;
        let folder = tempfile::Builder::new().prefix("quittance-pg-").tempdir()?;
        let owner = Owner::of_server()?;
        owner.give(folder.path())?;
        initialise(&programs, folder.path(), port, owner)?;
        let process = launch(&programs, folder.path(), owner)?;
        let server = Server {
            url: format!("postgres://postgres@127.0.0.1:{port}"),
        };
        let mut postgres = Self {
            server,
            process,
            programs,
            port,
            folder,
        };
        postgres.ready().await?;
        Ok(postgres)
    }

    /// The server, to make databases in.
    #[must_use]
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// The port that it keeps over restarts.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the server logged so far, to be searched.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        log(self.folder.path())
    }

    /// Like a power cut: the server and everyone who works for it.
    pub fn kill_dash_nine(&mut self) {
        let workers = children(self.process.id());
        self.process.kill_dash_nine();
        for worker in workers {
            let _ = Command::new("sh")
                .args(["-c", r#"kill -KILL "$1" 2>/dev/null"#, "kill", &worker])
                .status();
        }
    }

    /// Starts it again on the same port and data, after a kill or in the middle of its life.
    ///
    /// # Errors
    /// When it doesn't start; the text holds the end of its log.
    pub async fn restart(&mut self) -> io::Result<()> {
        self.process.stop("INT");
        self.process = launch(&self.programs, self.folder.path(), Owner::of_server()?)?;
        self.ready().await
    }

    async fn ready(&mut self) -> io::Result<()> {
        let address = self.server.address("postgres");
        self.process.until(|| async { connect(&address).await.is_ok() }).await
    }
}

impl Drop for Postgres {
    /// In order, so that it frees its shared memory.
    fn drop(&mut self) {
        self.process.stop("INT");
    }
}

/// Whom the server runs as: somebody else when we are root.
#[derive(Clone, Copy)]
enum Owner {
    Us,
    Postgres { user: u32, group: u32 },
}

impl Owner {
    fn of_server() -> io::Result<Self> {
        if id(&["-u"])? != 0 {
            return Ok(Self::Us);
        }
        Ok(Self::Postgres {
            user: id(&["-u", "postgres"])?,
            group: id(&["-g", "postgres"])?,
        })
    }

    fn give(self, folder: &Path) -> io::Result<()> {
        match self {
            Self::Us => Ok(()),
            Self::Postgres { user, group } => chown(folder, Some(user), Some(group)),
        }
    }

    fn run(self, program: &Path, folder: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env("HOME", folder)
            .env_remove("PGDATA")
            .env_remove("PGPORT");
        if let Self::Postgres { user, group } = self {
            command.uid(user).gid(group);
        }
        command
    }
}

fn id(arguments: &[&str]) -> io::Result<u32> {
    let Output { stdout, stderr, .. } = Command::new("id").args(arguments).output()?;
    let text = String::from_utf8_lossy(&stdout);
    text.trim()
        .parse()
        .map_err(|_| io::Error::other(String::from_utf8_lossy(&stderr).into_owned()))
}

fn initialise(programs: &Path, folder: &Path, port: u16, owner: Owner) -> io::Result<()> {
    let made = owner
        .run(&programs.join("initdb"), folder)
        .args([
            "--username=postgres",
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--no-sync",
            "--pgdata",
        ])
        .arg(data(folder))
        .output()?;
    if !made.status.success() {
        return Err(io::Error::other(format!(
            "initdb failed: {}",
            String::from_utf8_lossy(&made.stderr)
        )));
    }
    let mut settings = File::options()
        .append(true)
        .open(data(folder).join("postgresql.conf"))?;
    writeln!(settings, "{SETTINGS}port = {port}")
}

fn launch(programs: &Path, folder: &Path, owner: Owner) -> io::Result<Process> {
    let mut command = owner.run(&programs.join("postgres"), folder);
    command.arg("-D").arg(data(folder));
    Process::spawn(&mut command, &log(folder), folder)
}

fn data(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn log(folder: &Path) -> PathBuf {
    folder.join("postgres.log")
}

/// The newest installed version's programs.
fn programs() -> io::Result<PathBuf> {
    let newest = std::fs::read_dir(INSTALLED)
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok())
        .filter(|version| *version >= OLDEST)
        .filter(|version| programs_of(*version).join("postgres").is_file())
        .max();
    let absent = || {
        io::Error::new(
            io::ErrorKind::NotFound,
            format!(
                "no PostgreSQL {OLDEST} or later under {INSTALLED}: run `apt-get install postgresql`, or ./tests/run as root, which does it"
            ),
        )
    };
    newest.map(programs_of).ok_or_else(absent)
}

fn programs_of(version: u32) -> PathBuf {
    Path::new(INSTALLED).join(version.to_string()).join("bin")
}

fn children(process: u32) -> Vec<String> {
    let list = std::fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    list.split_whitespace().map(str::to_owned).collect()
}

/// Different in this process and, by its number, among those that share a server.
fn unique(prefix: &str) -> String {
    static MADE: AtomicU32 = AtomicU32::new(0);
    format!(
        "{prefix}_{}_{}",
        std::process::id(),
        MADE.fetch_add(1, Ordering::Relaxed)
    )
}

async fn connect(address: &str) -> sqlx::Result<PgConnection> {
    PgConnection::connect(address).await
}
