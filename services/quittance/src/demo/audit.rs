//! Taking evidence home: what an auditor with a token gets over HTTP, written as files that `verify` takes.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use domain::id::{EntryId, RequestId};
use evidence::note::SignedCheckpoint;
use platform::egress::{Egress, Limits};
use platform::problem::chain;
use platform::secret::Secret;
use serde::Deserialize;

use crate::failure::Failure;
use crate::verify::claims::Claim;

/// A history of keys may be long.
const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

/// A closure is logged within a sequencing interval of the receipt that made it.
const CLOSED_WITHIN: Duration = Duration::from_secs(10);

/// An auditor.
pub(super) struct Auditor {
    /// The way to the ledger.
    pub egress: Egress,
    /// Where it listens.
    pub ledger: String,
    /// The token with the auditor role.
    pub token: Secret,
    /// The log's public key, which an auditor has from somewhere else than the ledger.
    pub vkey: String,
}

/// What was taken home.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Entries with their proofs.
    pub entries: usize,
    /// Receipts among them.
    pub receipts: usize,
}

/// What the ledger answers about a request.
#[derive(Deserialize)]
struct Timeline {
    entries: Vec<Line>,
}

#[derive(Deserialize)]
struct Line {
    entry: EntryId,
    r#type: String,
    written: Option<Written>,
}

#[derive(Deserialize)]
struct Written {
    body: serde_json::Value,
}

impl Auditor {
    /// Writes entries, proofs, receipts, the history of keys, the newest head and the policy into a folder.
    /// `earlier` is a head that was seen before; the proof that the log only grew since comes with it.
    pub(super) async fn take(&self, requests: &[RequestId], earlier: &[u8], folder: &Path) -> Result<Taken, Failure> {
        let mut taken = Taken::default();
        for request in requests {
            self.take_request(*request, folder, &mut taken).await?;
        }
        put(&folder.join("keys.jsonl"), &self.get("/v1/audit/keys").await?)?;
        let newest = self.head().await?;
        put(&folder.join("checkpoint"), &newest)?;
        let (from, to) = (size(earlier)?, size(&newest)?);
        put(&folder.join(format!("checkpoint-{from}")), earlier)?;
        let proof = self.get(&format!("/v1/audit/consistency?from={from}&to={to}")).await?;
        put(&folder.join(format!("consistency-{from}-{to}")), &proof)?;
        put(
            &folder.join("policy"),
            format!("log {}\nquorum none\n", self.vkey).as_bytes(),
        )?;
        Ok(taken)
    }

    /// The newest signed head.
    pub(super) async fn head(&self) -> Result<Vec<u8>, Failure> {
        self.get("/log/checkpoint").await
    }

    async fn take_request(&self, request: RequestId, folder: &Path, taken: &mut Taken) -> Result<(), Failure> {
        let folder = folder.join(request.to_string());
        for line in self.timeline(request).await? {
            let path = format!("/v1/audit/entries/{}", line.entry);
            let name = folder.join(line.entry.to_string());
            put(&name.with_extension("json"), &self.get(&path).await?)?;
            put(
                &name.with_extension("tlog-proof"),
                &self.get(&format!("{path}/proof")).await?,
            )?;
            taken.entries += 1;
            let jws = line.written.as_ref().filter(|_| line.r#type == "receipt");
            if let Some(jws) = jws.and_then(|written| written.body["jws"].as_str()) {
                put(&name.with_extension("jws"), jws.as_bytes())?;
                taken.receipts += 1;
            }
        }
        Ok(())
    }

    /// Everything that was logged about a request, up to its closure.
    async fn timeline(&self, request: RequestId) -> Result<Vec<Line>, Failure> {
        let began = Instant::now();
        loop {
            let answer = self.get(&format!("/v1/audit/requests/{request}")).await?;
            let timeline: Timeline = serde_json::from_slice(&answer).map_err(Failure::no)?;
            if timeline.entries.iter().any(|line| line.r#type == "closure") {
                return Ok(timeline.entries);
            }
            if began.elapsed() > CLOSED_WITHIN {
                return Err(Failure::no(format!(
                    "the closure of {request} was not logged within {CLOSED_WITHIN:?}"
                )));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    async fn get(&self, path: &str) -> Result<Vec<u8>, Failure> {
        let bearer = format!("Bearer {}", self.token.expose());
        let limits = Limits {
            body_max_bytes: BODY_MAX_BYTES,
            ..Limits::default()
        };
        let url = format!("{}{path}", self.ledger);
        let asked = self.egress.get(&url, &[("authorization", &bearer)], limits).await;
        match asked {
            Ok(answer) if answer.status == 200 => Ok(answer.body),
            Ok(answer) => Err(Failure::no(format!("the ledger answered {} to {path}", answer.status))),
            Err(error) => Err(Failure::no(format!(
                "the ledger did not answer {path} ({})",
                chain(&error)
            ))),
        }
    }
}

fn size(head: &[u8]) -> Result<u64, Failure> {
    let head = SignedCheckpoint::parse(head).map_err(Failure::no)?;
    Ok(head.checkpoint().size)
}

/// Runs `verify` as a process of its own: this program again, with an empty environment and nothing but the files.
pub(super) async fn verify(folder: &Path, audience: &str) -> Result<Vec<Claim>, Failure> {
    let program: PathBuf = std::env::current_exe().map_err(Failure::no)?;
    let mut command = tokio::process::Command::new(program);
    command
        .args(["--json", "verify"])
        .arg(folder)
        .arg("--policy")
        .arg(folder.join("policy"));
    command
        .args(["--audience", audience])
        .env_clear()
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let ran = command.output().await.map_err(Failure::no)?;
    let claims: Vec<Claim> = ran
        .stdout
        .split(|byte| *byte == b'\n')
        .filter_map(|line| serde_json::from_slice(line).ok())
        .collect();
    match claims.iter().find(|claim| !claim.holds) {
        None if ran.status.success() => Ok(claims),
        Some(failed) => Err(Failure::no(format!("verify: {} {}", failed.about, failed.says))),
        None => Err(Failure::no(format!(
            "verify: {}",
            String::from_utf8_lossy(&ran.stderr).trim()
        ))),
    }
}

fn put(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let write = || {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(path, content)
    };
    write().map_err(|error| Failure::no(format!("{} can't be written ({error})", path.display())))
}
