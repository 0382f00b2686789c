//! The three events that an owner signs, as JSON and as [`Report`].
//!
//! Writing and reading stand side by side, so that the sandbox writes exactly what dispatch reads. Digests are
//! written as the webhook's `Content-Digest` is (`sha-256=:…:`), the artifact's alone in hex, as `sha256sum` prints it.

use std::fmt::Write as _;

use domain::id::TaskId;
use domain::receipt::{
    ATTACHMENTS_MAX, Artifact, CategoryOutcome, CategoryResult, Completion, Outcome, RESULTS_MAX, Report,
};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use serde_json::value::RawValue;
use uuid::Uuid;

use super::members::{Day, Instant, Members};
use super::refusal::{Fault, Refusal};
use crate::digest::ContentDigest;

pub(super) const COMPLETED: &str = "task-completed";
pub(super) const ACKNOWLEDGED: &str = "task-acknowledged";
pub(super) const AMENDED: &str = "task-amended";

/// More records than any person has, and fewer digits than a telephone number in international form.
const COUNT_MAX: u64 = 1_000_000_000;

/// A pebibyte.
const ARTIFACT_BYTES_MAX: u64 = 1 << 50;

/// The event's name, as the last part of its address.
pub(super) fn name(report: &Report) -> &'static str {
    match report {
        Report::Completed(_) => COMPLETED,
        Report::Acknowledged { .. } => ACKNOWLEDGED,
        Report::Amended { .. } => AMENDED,
    }
}

pub(super) fn read(name: &str, payload: &str) -> Result<Report, Refusal> {
    let read = match name {
        COMPLETED => read_completed,
        ACKNOWLEDGED => read_acknowledged,
        AMENDED => read_amended,
        _ => return Err(Refusal::Event),
    };
    let mut members = Members::parse(payload).map_err(Refusal::Payload)?;
    let report = read(&mut members).map_err(Refusal::Payload)?;
    members.finish().map_err(Refusal::Payload)?;
    Ok(report)
}

fn read_completed(members: &mut Members<'_>) -> Result<Report, Fault> {
    completion(members).map(Report::Completed)
}

fn read_amended(members: &mut Members<'_>) -> Result<Report, Fault> {
    let supersedes = members.parsed("supersedes")?;
    Ok(Report::Amended {
        completion: completion(members)?,
        supersedes,
    })
}

fn read_acknowledged(members: &mut Members<'_>) -> Result<Report, Fault> {
    let (task, task_digest) = task(members)?;
    Ok(Report::Acknowledged {
        task,
        task_digest,
        by: members.parsed("by")?,
    })
}

fn task(members: &mut Members<'_>) -> Result<(TaskId, [u8; 32]), Fault> {
    let digest: ContentDigest = members.parsed("task_digest")?;
    Ok((members.parsed("task")?, digest.0))
}

fn completion(members: &mut Members<'_>) -> Result<Completion, Fault> {
    let (task, task_digest) = task(members)?;
    let outcome = members.parsed("outcome")?;
    let results: Vec<&RawValue> = members.value("results")?;
    let artifact: Option<&RawValue> = members.optional("artifact")?;
    let attachments: Vec<ContentDigest> = members.optional("attachments")?.unwrap_or_default();
    // The domain checks these again; here they keep a token from making us read a thousand results.
    if results.len() > RESULTS_MAX || attachments.len() > ATTACHMENTS_MAX {
        return Err(Fault::Value(if results.len() > RESULTS_MAX {
            "results"
        } else {
            "attachments"
        }));
    }
    Ok(Completion {
        task,
        task_digest,
        outcome,
        results: results
            .into_iter()
            .map(|result| category(result.get()))
            .collect::<Result<_, _>>()?,
        artifact: artifact.map(|artifact| read_artifact(artifact.get())).transpose()?,
        attachments: attachments.into_iter().map(|digest| digest.0).collect(),
    })
}

fn category(json: &str) -> Result<CategoryResult, Fault> {
    let mut members = Members::parse(json)?;
    let erase_after: Option<Day> = members.optional_parsed("erase_after")?;
    let result = CategoryResult {
        category: members.value("category")?,
        outcome: members.parsed("outcome")?,
        count: members.at_most("count", COUNT_MAX)?,
        basis: members.optional("basis")?,
        citation: members.optional("citation")?,
        erase_after: erase_after.map(|Day(date)| date),
    };
    members.finish()?;
    Ok(result)
}

fn read_artifact(json: &str) -> Result<Artifact, Fault> {
    let mut members = Members::parse(json)?;
    let sha256: String = members.value("sha256")?;
    let Instant(expires_at) = members.parsed("expires_at")?;
    let artifact = Artifact {
        sha256: from_hex(&sha256).ok_or(Fault::Value("sha256"))?,
        bytes: members
            .at_most("bytes", ARTIFACT_BYTES_MAX)?
            .ok_or(Fault::Missing("bytes"))?,
        expires_at,
    };
    members.finish()?;
    Ok(artifact)
}

fn from_hex(text: &str) -> Option<[u8; 32]> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    let bytes = pairs
        .iter()
        .map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?))
        .collect::<Option<Vec<u8>>>()?;
    bytes.try_into().ok().filter(|_| rest.is_empty())
}

fn to_hex(bytes: &[u8; 32]) -> String {
    bytes.iter().fold(String::with_capacity(64), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What an event holds, in the order in which contracts.md shows it; equal for equal reports.
#[derive(Serialize)]
#[serde(untagged)]
enum Written<'a> {
    Completion {
        task: TaskId,
        task_digest: ContentDigest,
        outcome: Outcome,
        results: Vec<WrittenResult<'a>>,
        artifact: Option<WrittenArtifact>,
        attachments: Vec<ContentDigest>,
        #[serde(skip_serializing_if = "Option::is_none")]
        supersedes: Option<Uuid>,
    },
    Acknowledgement {
        task: TaskId,
        task_digest: ContentDigest,
        by: Timestamp,
    },
}

#[derive(Serialize)]
struct WrittenResult<'a> {
    category: &'a str,
    outcome: CategoryOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    basis: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    citation: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    erase_after: Option<Date>,
}

#[derive(Serialize)]
struct WrittenArtifact {
    sha256: String,
    bytes: u64,
    expires_at: Timestamp,
}

/// The event's content as JSON.
pub(super) fn payload(report: &Report) -> Box<RawValue> {
    let written = match report {
        Report::Completed(completion) => write(completion, None),
        Report::Amended { completion, supersedes } => write(completion, Some(*supersedes)),
        Report::Acknowledged { task, task_digest, by } => Written::Acknowledgement {
            task: *task,
            task_digest: ContentDigest(*task_digest),
            by: *by,
        },
    };
    serde_json::value::to_raw_value(&written).expect("ids, instants, numbers and words are JSON")
}

fn write(completion: &Completion, supersedes: Option<Uuid>) -> Written<'_> {
    Written::Completion {
        task: completion.task,
        task_digest: ContentDigest(completion.task_digest),
        outcome: completion.outcome,
        results: completion.results.iter().map(write_result).collect(),
        artifact: completion.artifact.as_ref().map(write_artifact),
        attachments: completion
            .attachments
            .iter()
            .map(|digest| ContentDigest(*digest))
            .collect(),
        supersedes,
    }
}

fn write_result(result: &CategoryResult) -> WrittenResult<'_> {
    WrittenResult {
        category: &result.category,
        outcome: result.outcome,
        count: result.count,
        basis: result.basis.as_deref(),
        citation: result.citation.as_deref(),
        erase_after: result.erase_after,
    }
}

fn write_artifact(artifact: &Artifact) -> WrittenArtifact {
    let Artifact {
        sha256,
        bytes,
        expires_at,
    } = artifact;
    WrittenArtifact {
        sha256: to_hex(sha256),
        bytes: *bytes,
        expires_at: *expires_at,
    }
}
