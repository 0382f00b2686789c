//! `quittance verify`: no configuration, no database, no network; files and a policy.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::failure::Failure;
use crate::output::{Output, Tone};
use crate::verify::claims;
use crate::verify::files::Files;

/// Check receipts and proofs with nothing but files: one line for each claim, exit 0 only if all of them hold.
///
/// A folder is read whole. In it, NAME.json with NAME.tlog-proof is an entry of the log and its proof, NAME.jws a
/// receipt as its owner signed it, keys.jsonl the history of signing keys, checkpoint and checkpoint-SIZE are signed
/// heads of the log, consistency-FROM-TO proves that it only grew between two of them, and policy says which log to
/// believe. Take the policy from somebody you trust and name it with --policy: the one that
/// came with the evidence shows only that the evidence agrees with itself.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  quittance verify evidence/ --policy my-policy
  quittance verify rcpt_01.json rcpt_01.tlog-proof --keys keys.jsonl --policy my-policy")]
pub struct Verify {
    /// Files, and folders of them.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Which log to believe (C2SP tlog-policy).
    #[arg(long, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// The history of signing keys, proved line by line.
    #[arg(long, value_name = "FILE")]
    pub keys: Option<PathBuf>,
    /// The public URL of the router that every receipt must be addressed to.
    #[arg(long, value_name = "URL")]
    pub audience: Option<String>,
    /// A controller's entries and requests must all be here: a number that is missing fails.
    #[arg(long)]
    pub complete: bool,
}

/// Checks, and says of each claim whether it holds.
pub fn run(verify: &Verify, output: Output) -> Result<(), Failure> {
    let files = Files::gather(&verify.files, verify.policy.as_deref(), verify.keys.as_deref())?;
    let demands = claims::Demands {
        audience: verify.audience.as_deref(),
        complete: verify.complete,
    };
    let claims = claims::check(&files, demands)?;
    for claim in &claims {
        let mark = if claim.holds {
            output.paint(Tone::Good, "holds")
        } else {
            output.paint(Tone::Bad, "FAILS")
        };
        output.tell(format_args!("{mark}  {}  {}", claim.about, claim.says), &json!(claim));
    }
    let failed = claims.iter().filter(|claim| !claim.holds).count();
    match (claims.len(), failed) {
        (0, _) => Err(Failure::no("there was nothing to check")),
        (all, 0) => {
            let facts = json!({"claims": all, "failed": 0});
            output.tell(
                output.paint(Tone::Strong, format_args!("all {all} claims hold")),
                &facts,
            );
            Ok(())
        }
        (all, failed) => Err(Failure::no(format!("{failed} of {all} claims do not hold"))),
    }
}
