//! The log as files: what an auditor takes home, and what other programs judge us by.
//!
//! Under `keys.jsonl` and `policy` lie what `quittance verify` takes beside an entry and its proof; each receipt's
//! folder holds the entry's bytes, its leaf, its `.tlog-proof`, and two checkpoints with the proof that one extends
//! the other, so that it can be judged alone.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use domain::id::{ControllerId, ReceiptId};
use evidence::history::KeyLine;
use evidence::merkle::Hash;
use evidence::note::SignedCheckpoint;

use crate::archive::{Archive, Held, Opened};
use crate::fault::Fault;

/// Entries that are in memory at a time.
const PIECE: u32 = 500;

/// Why an export was not made.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log can't be read.
    #[error(transparent)]
    Log(#[from] Fault),
    /// A file can't be written.
    #[error("{0} can't be written")]
    File(PathBuf, #[source] io::Error),
    /// Nothing was published.
    #[error("the log has no published entries yet")]
    Empty,
}

/// Two heads of the log and the proof that the newer extends the older.
#[derive(Debug)]
pub struct Heads {
    /// The newest.
    pub checkpoint: SignedCheckpoint,
    /// The oldest with leaves.
    pub old: SignedCheckpoint,
    /// The way from one to the other.
    pub consistency: Vec<Hash>,
}

/// One receipt as files.
#[derive(Debug)]
pub struct Exported {
    /// The entry's bytes.
    pub entry: Vec<u8>,
    /// The leaf's bytes.
    pub leaf: Vec<u8>,
    /// The `.tlog-proof`.
    pub proof: String,
}

/// The newest and the oldest head; none before anything was published.
pub async fn heads(archive: &Archive) -> Result<Option<Heads>, Fault> {
    let (Some(checkpoint), Some(old)) = (archive.checkpoint().await?, archive.oldest_checkpoint().await?) else {
        return Ok(None);
    };
    let (from, to) = (old.checkpoint().size, checkpoint.checkpoint().size);
    let consistency = archive.consistency(from, to).await?.unwrap_or_default();
    Ok(Some(Heads {
        checkpoint,
        old,
        consistency,
    }))
}

/// A receipt's entry; none if it isn't published, or is shredded.
pub async fn receipt(archive: &Archive, id: ReceiptId) -> Result<Option<Exported>, Fault> {
    let Some(held) = archive.receipt(id).await? else {
        return Ok(None);
    };
    let opened = archive.open_one(&held).await?;
    exported(archive, &held, opened).await
}

/// The history of the keys as `verify --keys` takes it: a line of JSON for each event, with its proof.
pub async fn key_lines(archive: &Archive, wanted: impl Fn(ControllerId) -> bool) -> Result<String, Fault> {
    let (mut lines, mut from) = (String::new(), 0);
    loop {
        let mut events = archive.key_events(from, PIECE).await?;
        let Some(last) = events.last() else {
            return Ok(lines);
        };
        from = last.index + 1;
        events.retain(|event| wanted(event.controller));
        let opened = archive.open(&events).await?;
        for (held, opened) in events.iter().zip(opened) {
            let Some(Exported { entry, proof, .. }) = exported(archive, held, opened).await? else {
                continue;
            };
            let entry = String::from_utf8_lossy(&entry).into_owned();
            let line = serde_json::to_string(&KeyLine { entry, proof }).expect("two texts are JSON");
            lines.push_str(&line);
            lines.push('\n');
        }
    }
}

/// Writes `vkey`, `policy`, `keys.jsonl` and a folder for each receipt that can be opened; how many those are.
pub async fn write(archive: &Archive, folder: &Path) -> Result<usize, ExportError> {
    let heads = heads(archive).await?.ok_or(ExportError::Empty)?;
    let vkey = archive.key().to_string();
    put(folder, "vkey", format!("{vkey}\n").as_bytes())?;
    put(folder, "policy", format!("log {vkey}\nquorum none\n").as_bytes())?;
    put(folder, "keys.jsonl", key_lines(archive, |_| true).await?.as_bytes())?;
    let (mut written, mut from) = (0, 0);
    loop {
        let receipts = archive.receipts(from, PIECE).await?;
        let Some(last) = receipts.last() else {
            return Ok(written);
        };
        from = last.index + 1;
        let opened = archive.open(&receipts).await?;
        for (held, opened) in receipts.iter().zip(opened) {
            if let Some(files) = exported(archive, held, opened).await? {
                sample(&folder.join(held.id.to_string()), &vkey, &heads, &files)?;
                written += 1;
            }
        }
    }
}

async fn exported(archive: &Archive, held: &Held, opened: Option<Opened>) -> Result<Option<Exported>, Fault> {
    let Some(opened) = opened else { return Ok(None) };
    let proof = archive.prove(held.index, Some(&opened)).await?;
    Ok(proof.map(|proof| Exported {
        entry: opened.bytes,
        leaf: held.leaf.bytes().to_vec(),
        proof: proof.to_string(),
    }))
}

fn sample(folder: &Path, vkey: &str, heads: &Heads, files: &Exported) -> Result<(), ExportError> {
    let consistency: Vec<String> = heads.consistency.iter().map(|hash| format!("{hash}\n")).collect();
    put(folder, "vkey", format!("{vkey}\n").as_bytes())?;
    put(folder, "checkpoint", heads.checkpoint.text().as_bytes())?;
    put(folder, "checkpoint.old", heads.old.text().as_bytes())?;
    put(folder, "consistency", consistency.concat().as_bytes())?;
    put(folder, "entry", &files.entry)?;
    put(folder, "leaf", &files.leaf)?;
    put(folder, "proof.tlog-proof", files.proof.as_bytes())
}

fn put(folder: &Path, name: &str, content: &[u8]) -> Result<(), ExportError> {
    let path = folder.join(name);
    let write = || {
        fs::create_dir_all(folder)?;
        fs::write(&path, content)
    };
    write().map_err(|error| ExportError::File(path.clone(), error))
}
