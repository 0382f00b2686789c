//! What a log of ours leaves for the second opinion, `tests/goverify`: a Go program that shares no line with us.
//!
//! Each log that a test makes writes one folder under `QUITTANCE_LOG_SAMPLES`, which `./tests/run` sets and has judged
//! once all tests are done. Without it nothing is written: the Go program is then not going to look.

use std::fs;
use std::path::Path;

use evidence::merkle::Hash;

/// What `./tests/run` sets.
const VARIABLE: &str = "QUITTANCE_LOG_SAMPLES";

/// The files of one sample, each with the bytes that the log gave out.
pub struct Sample<'a> {
    /// The log's public key, `<name>+<id>+<base64>`.
    pub vkey: &'a str,
    /// A signed checkpoint.
    pub checkpoint: &'a str,
    /// An earlier one of the same log.
    pub old_checkpoint: &'a str,
    /// The proof that the later tree begins with the earlier.
    pub consistency: &'a [Hash],
    /// The `.tlog-proof` file of an entry.
    pub proof: &'a str,
    /// The entry's leaf.
    pub leaf: &'a [u8],
    /// The entry's bytes.
    pub entry: &'a [u8],
}

impl Sample<'_> {
    /// Leaves it under `name`, which no other test uses.
    ///
    /// # Panics
    /// When the folder can't be written.
    pub fn leave(&self, name: &str) {
        let Some(samples) = std::env::var_os(VARIABLE) else {
            return;
        };
        let folder = Path::new(&samples).join(name);
        fs::create_dir_all(&folder).expect("the samples' folder can be made");
        let consistency: Vec<_> = self.consistency.iter().map(|hash| format!("{hash}\n")).collect();
        let vkey = format!("{}\n", self.vkey.trim_end());
        for (file, bytes) in [
            ("vkey", vkey.as_bytes()),
            ("checkpoint", self.checkpoint.as_bytes()),
            ("checkpoint.old", self.old_checkpoint.as_bytes()),
            ("consistency", consistency.concat().as_bytes()),
            ("proof.tlog-proof", self.proof.as_bytes()),
            ("leaf", self.leaf),
            ("entry", self.entry),
        ] {
            fs::write(folder.join(file), bytes).expect("the sample can be written");
        }
    }
}
