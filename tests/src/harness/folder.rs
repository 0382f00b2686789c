//! A folder that is gone when this process is, however it ends.

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// A folder of a router's own. A shell waits for the end of a pipe, which the kernel closes with this process.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    guard: Child,
}

impl Folder {
    /// Makes one.
    ///
    /// # Panics
    /// When the machine's temporary folder can't be written.
    #[must_use]
    pub fn new() -> Self {
        let path = tempfile::Builder::new()
            .prefix("quittance-router-")
            .tempdir()
            .expect("a folder is made")
            .keep();
        let guard = Command::new("sh")
            .args(["-c", r#"cat >/dev/null; rm -rf -- "$1""#, "guard"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .expect("a shell starts");
        Self { path, guard }
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.guard.stdin.take());
        let _ = self.guard.wait();
    }
}
