//! Which files are evidence, told by their names.
//!
//! `NAME.json` is an entry and `NAME.tlog-proof` the proof of it; `NAME.jws` is a receipt as it was signed;
//! `keys.jsonl` is the history of keys, `checkpoint` and `checkpoint-SIZE` are signed heads, `consistency-FROM-TO` the
//! proof that the log of one head begins with that of another, `policy` whom to believe. A policy that is named
//! with `--policy` came another way than the evidence did and takes the place of the one beside it.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The largest file that is read: a keys file of a hundred thousand keys fits.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Folders in folders; evidence needs two.
const DEPTH_MAX: usize = 8;

/// What was found.
#[derive(Debug, Default)]
pub struct Files {
    /// Entries with their proofs, by name; one of both may be missing, which is a claim that fails.
    pub entries: BTreeMap<String, Logged>,
    /// Receipts as they were signed, by name.
    pub tokens: BTreeMap<String, Vec<u8>>,
    /// Signed heads, by name.
    pub checkpoints: BTreeMap<String, Vec<u8>>,
    /// Proofs between two heads, by name.
    pub growth: BTreeMap<String, Growth>,
    /// The text of the keys file.
    pub keys: Option<String>,
    /// The text of the policy.
    pub policy: Option<String>,
}

/// An entry and the file that proves it.
#[derive(Debug, Default)]
pub struct Logged {
    /// The entry's bytes.
    pub entry: Option<Vec<u8>>,
    /// The `.tlog-proof`.
    pub proof: Option<String>,
}

/// What is said to prove that the log only grew between two sizes.
#[derive(Debug)]
pub struct Growth {
    /// Entries of the earlier head.
    pub from: u64,
    /// Entries of the later one.
    pub to: u64,
    /// The hashes, one a line.
    pub hashes: String,
}

/// Why the evidence can't be read. One line that says what and where.
#[derive(Debug, thiserror::Error)]
pub enum FilesError {
    /// A file or folder can't be read.
    #[error("{0} can't be read ({1}); correct the path or its permissions")]
    Read(PathBuf, io::Error),
    /// Larger than any evidence.
    #[error("{0} is larger than 256 MiB, so it is no evidence of ours")]
    TooLarge(PathBuf),
    /// Its name says nothing.
    #[error(
        "{0} is no evidence by its name: expected NAME.json with NAME.tlog-proof, NAME.jws, keys.jsonl, checkpoint, \
         checkpoint-SIZE, consistency-FROM-TO, policy, or a folder of them"
    )]
    Unknown(PathBuf),
    /// Not UTF-8 where text was expected.
    #[error("{0} is not text")]
    Text(PathBuf),
    /// Nothing tells whom to believe.
    #[error("there is no policy: name the file that says which log you trust with `--policy FILE`")]
    NoPolicy,
}

/// What a name says about a file.
enum Kind {
    Entry,
    Proof,
    Token,
    Keys,
    Checkpoint,
    Growth(u64, u64),
    Policy,
}

impl Files {
    /// Reads what the paths name, folders with all that is in them.
    pub fn gather(paths: &[PathBuf], policy: Option<&Path>, keys: Option<&Path>) -> Result<Self, FilesError> {
        let mut files = Self::default();
        for path in paths {
            if path.is_dir() {
                files.add_folder(path, DEPTH_MAX)?;
            } else {
                let kind = kind(path).ok_or_else(|| FilesError::Unknown(path.clone()))?;
                files.add(path, &kind)?;
            }
        }
        if let Some(policy) = policy {
            files.policy = Some(read_text(policy)?);
        }
        if let Some(keys) = keys {
            files.keys = Some(read_text(keys)?);
        }
        Ok(files)
    }

    /// In a folder, what has another name is left alone.
    fn add_folder(&mut self, folder: &Path, depth: usize) -> Result<(), FilesError> {
        let unreadable = |error| FilesError::Read(folder.to_owned(), error);
        let mut inside: Vec<PathBuf> = fs::read_dir(folder)
            .map_err(unreadable)?
            .map(|entry| entry.map(|entry| entry.path()))
            .collect::<io::Result<_>>()
            .map_err(unreadable)?;
        inside.sort();
        for path in inside {
            match kind(&path) {
                _ if path.is_dir() && depth > 0 => self.add_folder(&path, depth - 1)?,
                Some(kind) => self.add(&path, &kind)?,
                None => {}
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &Path, kind: &Kind) -> Result<(), FilesError> {
        let name = path.with_extension("").display().to_string();
        match kind {
            Kind::Entry => self.entries.entry(name).or_default().entry = Some(read(path)?),
            Kind::Proof => self.entries.entry(name).or_default().proof = Some(read_text(path)?),
            Kind::Token => drop(self.tokens.insert(name, read(path)?)),
            Kind::Checkpoint => drop(self.checkpoints.insert(name, read(path)?)),
            Kind::Growth(from, to) => {
                let (from, to, hashes) = (*from, *to, read_text(path)?);
                self.growth
                    .insert(path.display().to_string(), Growth { from, to, hashes });
            }
            Kind::Keys => self.keys = Some(read_text(path)?),
            Kind::Policy => self.policy = Some(read_text(path)?),
        }
        Ok(())
    }
}

fn kind(path: &Path) -> Option<Kind> {
    let name = path.file_name()?.to_str()?;
    match name {
        "keys.jsonl" => return Some(Kind::Keys),
        "checkpoint" => return Some(Kind::Checkpoint),
        "policy" => return Some(Kind::Policy),
        _ => {}
    }
    if name
        .strip_prefix("checkpoint-")
        .is_some_and(|size| size.parse::<u64>().is_ok())
    {
        return Some(Kind::Checkpoint);
    }
    if let Some((from, to)) = name
        .strip_prefix("consistency-")
        .and_then(|sizes| sizes.split_once('-'))
    {
        return Some(Kind::Growth(from.parse().ok()?, to.parse().ok()?));
    }
    match path.extension()?.to_str()? {
        "json" => Some(Kind::Entry),
        "tlog-proof" => Some(Kind::Proof),
        "jws" => Some(Kind::Token),
        _ => None,
    }
}

fn read(path: &Path) -> Result<Vec<u8>, FilesError> {
    let unreadable = |error| FilesError::Read(path.to_owned(), error);
    if fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
        return Err(FilesError::TooLarge(path.to_owned()));
    }
    fs::read(path).map_err(unreadable)
}

fn read_text(path: &Path) -> Result<String, FilesError> {
    String::from_utf8(read(path)?).map_err(|_| FilesError::Text(path.to_owned()))
}
