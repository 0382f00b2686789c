//! A child process that can be killed like a power cut and cannot outlive the one that started it.
//!
//! `Drop` is not enough: a test run may itself be killed. Beside each child stands a guard, a shell that reads from
//! a pipe whose other end only this process holds. When the pipe closes, for whatever reason, the guard kills the
//! child and removes its folder. An orderly stop disarms the guard first, so that it never signals a number that
//! the kernel has given to someone else.

use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long a part may take to be ready: a JVM starts in three seconds on a free core, and builds share the cores.
pub(super) const READY: Duration = Duration::from_secs(90);
/// How long one may take to end when asked; what it has not written by then, a kill may lose.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between two looks at whether it has.
const LOOK: Duration = Duration::from_millis(50);

const GUARD: &str = r#"read -r _; kill -KILL "$1" 2>/dev/null; sleep 1; rm -rf -- "$2""#;

/// A child, its guard, and where its output goes.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    guard: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command`, its output appended to `log`. `folder` goes with it when this process dies unexpectedly.
    pub(crate) fn spawn(command: &mut Command, log: &Path, folder: &Path) -> io::Result<Self> {
        let output = File::options().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .process_group(0)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("cannot start {command:?}: {error}")))?;
        let guard = guard(child.id(), folder)?;
        Ok(Self {
            child,
            guard,
            log: log.to_owned(),
        })
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL, and gone when this returns. Killing twice is killing once.
    pub(crate) fn kill_dash_nine(&mut self) {
        let _ = self.child.kill();
        self.reap();
    }

    /// Asks with `signal` (a name such as `INT`), and kills what has not ended by [`PATIENCE`].
    pub(super) fn stop(&mut self, signal: &str) {
        if self.running() {
            send(signal, self.id());
        }
        let looks = PATIENCE.as_millis() / LOOK.as_millis();
        for _ in 0..looks {
            if !self.running() {
                break;
            }
            std::thread::sleep(LOOK);
        }
        self.kill_dash_nine();
    }

    /// Asks it to end, as an orchestrator does, and says how it did and how long that took; `None` if it did not end
    /// by itself within `limit` and was killed.
    pub(crate) fn terminate(&mut self, limit: Duration) -> Option<(i32, Duration)> {
        let asked = std::time::Instant::now();
        send("TERM", self.id());
        while asked.elapsed() < limit {
            if let Ok(Some(status)) = self.child.try_wait() {
                let took = asked.elapsed();
                self.reap();
                return status.code().map(|code| (code, took));
            }
            std::thread::sleep(LOOK);
        }
        self.kill_dash_nine();
        None
    }

    /// Looks until `ready` says yes.
    ///
    /// # Errors
    /// Says how the log ends when the process dies first or takes longer than [`READY`].
    pub(crate) async fn until<F: Future<Output = bool>>(&mut self, ready: impl Fn() -> F) -> io::Result<()> {
        let looks = READY.as_millis() / LOOK.as_millis();
        for _ in 0..looks {
            if !self.running() {
                return Err(self.failure("ended before it was ready"));
            }
            if ready().await {
                return Ok(());
            }
            tokio::time::sleep(LOOK).await;
        }
        Err(self.failure("is not ready in time"))
    }

    /// Whether it has not ended yet.
    pub(crate) fn running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    fn reap(&mut self) {
        let _ = self.guard.kill();
        let _ = self.guard.wait();
        let _ = self.child.wait();
    }

    fn failure(&self, what: &str) -> io::Error {
        let log = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(20)..].join("\n");
        io::Error::other(format!("process {} {what}; its log ends:\n{tail}", self.id()))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill_dash_nine();
    }
}

fn guard(child: u32, folder: &Path) -> io::Result<Child> {
    Command::new("sh")
        .args(["-c", GUARD, "guard", &child.to_string()])
        .arg(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

/// Sends a signal by the shell's own `kill`: the standard library only knows SIGKILL. In a group of its own, so that
/// a signal to ours does not end it first.
fn send(signal: &str, process: u32) {
    let _ = Command::new("sh")
        .args(["-c", r#"kill -s "$1" "$2""#, "send", signal, &process.to_string()])
        .process_group(0)
        .status();
}

/// The `quittance` program that `./tests/run` built: `QUITTANCE_BIN`, or the one in this test's own target folder.
///
/// # Panics
/// When there is none; the message says how to build it.
#[must_use]
pub fn quittance() -> PathBuf {
    if let Some(program) = std::env::var_os("QUITTANCE_BIN") {
        return program.into();
    }
    let test = std::env::current_exe().expect("a running program has a path");
    let program = test
        .ancestors()
        .skip(1)
        .map(|folder| folder.join("quittance"))
        .find(|program| program.is_file());
    program.expect("the program is not built: `cargo build`, or run the tests by `./tests/run`")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(folder: &Path) -> Process {
        Process::spawn(Command::new("sleep").arg("600"), &folder.join("log"), folder).unwrap()
    }

    fn exists(process: u32) -> bool {
        let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
        state
            .rsplit(") ")
            .next()
            .is_some_and(|rest| !rest.is_empty() && !rest.starts_with('Z'))
    }

    #[test]
    fn when_the_starter_dies_the_guard_kills_the_child_and_removes_its_folder() {
        let folder = tempfile::tempdir().unwrap().keep();
        let mut process = sleeper(&folder);
        // What the kernel does when the starter is killed: its end of the pipe closes, nothing else happens.
        drop(process.guard.stdin.take());
        process.guard.wait().unwrap();
        assert!(!process.running(), "the child lives on");
        assert!(!folder.exists(), "its folder stays");
    }

    #[test]
    fn dropping_stops_the_child_and_its_guard() {
        let folder = tempfile::tempdir().unwrap();
        let process = sleeper(folder.path());
        let (child, guard) = (process.id(), process.guard.id());
        assert!(exists(child) && exists(guard));
        drop(process);
        assert!(!exists(child) && !exists(guard));
    }

    #[test]
    fn a_child_that_is_asked_to_stop_stops() {
        let folder = tempfile::tempdir().unwrap();
        let mut process = sleeper(folder.path());
        let asked = std::time::Instant::now();
        // Not INT: a shell that runs this in the background has its children ignore it.
        process.stop("TERM");
        assert!(asked.elapsed() < PATIENCE, "it had to be killed");
        assert!(!process.running());
    }

    #[tokio::test]
    async fn a_child_that_ends_too_early_is_reported_with_the_end_of_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "echo no licence for this; exit 3"]);
        let mut process = Process::spawn(&mut command, &folder.path().join("log"), folder.path()).unwrap();
        let error = process.until(|| async { false }).await.unwrap_err().to_string();
        assert!(error.contains("no licence for this"), "{error}");
    }
}
