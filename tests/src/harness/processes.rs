//! The real program, a process for each service, that can be killed and started again on the same addresses.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use platform::lifecycle::Ended;
use quittance::deployment::Deployment;

use super::place::Place;
use crate::parts::{Process, quittance};

/// What orchestrators wait before they kill, and what is promised.
pub(super) const STOPPED_WITHIN: Duration = Duration::from_secs(10);

/// A service by the command that starts it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// The doors.
    Intake,
    /// Planning, delivering, collecting, closing.
    Dispatch,
    /// The log.
    Ledger,
    /// All three, embedded.
    Up,
}

impl Service {
    /// The services of a cluster.
    pub const CLUSTER: [Self; 3] = [Self::Ledger, Self::Dispatch, Self::Intake];

    const fn command(self) -> &'static str {
        match self {
            Self::Intake => "intake",
            Self::Dispatch => "dispatch",
            Self::Ledger => "ledger",
            Self::Up => "up",
        }
    }
}

/// What an operator types before the services start.
const PREPARE: [&[&str]; 3] = [&["keys", "init"], &["migrate"], &["topics"]];

/// Runs a command of the program to its end.
///
/// # Panics
/// When the program can't be started.
#[must_use]
pub fn command(place: &Place, words: &[&str]) -> Output {
    let mut command = Command::new(quittance());
    command.args(words).arg("--config").arg(place.config());
    command.stdin(Stdio::null()).output().expect("the program starts")
}

/// Writes the configuration, and makes keys, schemas and topics by the commands that an operator types.
///
/// # Panics
/// When one of them fails.
#[must_use]
pub fn prepare(place: &Place) -> Deployment {
    let deployment = place.write();
    for words in PREPARE {
        let output = command(place, words);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "quittance {words:?}: {errors}");
    }
    deployment
}

/// The processes of a deployment.
#[derive(Debug)]
pub struct Processes {
    folder: PathBuf,
    config: PathBuf,
    urls: [String; 3],
    cluster: bool,
    running: Mutex<Vec<(Service, Process)>>,
}

impl Processes {
    /// Starts what the place needs, and waits until all of it is ready.
    pub(super) async fn start(place: &Place) -> Self {
        let processes = Self {
            folder: place.folder.path().to_owned(),
            config: place.config(),
            urls: place.urls(),
            cluster: place.cluster.is_some(),
            running: Mutex::default(),
        };
        let services: &[Service] = if place.cluster.is_some() {
            &Service::CLUSTER
        } else {
            &[Service::Up]
        };
        for service in services {
            processes.begin(*service);
        }
        for service in services {
            processes.ready(*service).await;
        }
        processes
    }

    /// Whether a service runs that was started: one that ended by itself doesn't.
    #[must_use]
    pub fn runs(&self, service: Service) -> bool {
        self.with(service, Process::running)
    }

    /// `kill -9`.
    pub fn kill(&self, service: Service) {
        self.with(service, Process::kill_dash_nine);
    }

    /// Starts a service that was killed; returns at once.
    pub fn begin(&self, service: Service) {
        let mut command = Command::new(quittance());
        command
            .arg(service.command())
            .arg("--config")
            .arg(&self.config)
            .env("RUST_BACKTRACE", "0");
        if self.cluster {
            // Whoever comes back under its name need not wait until its own former life has run out.
            command
                .env("QUITTANCE__KAFKA__INSTANCE", service.command())
                .env("QUITTANCE__LEDGER__NAME", "the only one");
        }
        let process = Process::spawn(&mut command, &self.log(service), &self.folder).expect("the program starts");
        let mut running = self.lock();
        running.retain(|(known, _)| *known != service);
        running.push((service, process));
    }

    /// Waits until a service is ready.
    ///
    /// # Panics
    /// When it ends or doesn't come.
    pub async fn ready(&self, service: Service) {
        let mut process = {
            let mut running = self.lock();
            let place = running
                .iter()
                .position(|(known, _)| *known == service)
                .expect("it was started");
            running.remove(place).1
        };
        let urls = match service {
            Service::Intake => &self.urls[..1],
            Service::Dispatch => &self.urls[1..2],
            Service::Ledger => &self.urls[2..],
            Service::Up => &self.urls[..],
        };
        let ready = || async {
            let mut all = true;
            for url in urls {
                let answer = reqwest::get(format!("{url}/readyz")).await;
                all &= answer.is_ok_and(|answer| answer.status().is_success());
            }
            all
        };
        let came = process.until(ready).await;
        self.lock().push((service, process));
        came.unwrap_or_else(|error| panic!("{service:?}: {error}"));
    }

    /// SIGTERM: the exit code, and how long it took.
    ///
    /// # Panics
    /// When it doesn't end in time.
    pub fn terminate(&self, service: Service) -> (i32, Duration) {
        let ended = self.with(service, |process| process.terminate(STOPPED_WITHIN));
        ended.unwrap_or_else(|| panic!("{service:?} did not end within {STOPPED_WITHIN:?}"))
    }

    /// The numbers that the system knows them by.
    #[must_use]
    pub fn ids(&self) -> Vec<u32> {
        self.lock().iter().map(|(_, process)| process.id()).collect()
    }

    /// Where a service's output is.
    #[must_use]
    pub fn log(&self, service: Service) -> PathBuf {
        self.folder.join(format!("{}.log", service.command()))
    }

    /// Ends all of them by SIGTERM.
    pub(super) fn stop(&self) -> Ended {
        let services: Vec<Service> = self.lock().iter().map(|(service, _)| *service).collect();
        let all_well = services.into_iter().all(|service| self.terminate(service).0 == 0);
        if all_well { Ended::Asked } else { Ended::Failed }
    }

    fn with<T>(&self, service: Service, what: impl FnOnce(&mut Process) -> T) -> T {
        let mut running = self.lock();
        let found = running.iter_mut().find(|(known, _)| *known == service);
        what(&mut found.expect("it was started").1)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(Service, Process)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
