//! `quittance sandbox`: the other side, for whoever builds an integration.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, ValueEnum};
use domain::id::TaskId;
use evidence::jwk::Jwk;
use platform::chance::SystemRng;
use platform::clock::SystemClock;
use platform::egress::{Egress, EgressConfig};
use platform::http::Http;
use platform::lifecycle::{Ended, Lifecycle, Stop, Woken};
use platform::problem::chain;
use platform::telemetry::{self, Telemetry};
use platform::webhook::VerifyingKey;
use sandbox::{Answering, Client, Delivery, Deps, Heard, Manner, Record, Sandbox as Business, Verdict};
use serde_json::json;

use crate::failure::Failure;
use crate::key_files;
use crate::output::{Output, Tone};

/// How often the record is looked at; a person sees no difference.
const LOOK: Duration = Duration::from_millis(100);

/// Be a client business: receive webhooks, verify them, and answer with signed receipts.
///
/// It checks what a receiver must check (signature, time, digest) and prints each task and message by its ids, never
/// what it says about a person. A notices system may point at it too. Register the key that it prints, and its address, with `quittance apply`. By `--hostile` it
/// misbehaves: answers late, twice, with errors after the work was done, or with forged receipts; the same seed
/// misbehaves the same way.
#[derive(Debug, Args)]
#[command(after_long_help = "\
Examples:
  quittance sandbox --issuer https://shop.example --secret whsec_… --key shop.jwk
  quittance sandbox --issuer https://shop.example --secret whsec_… --key shop.jwk --verdict partial --answer in-body
  quittance sandbox --issuer https://shop.example --secret whsec_… --key shop.jwk --hostile 7")]
pub struct Sandbox {
    /// Where to listen; webhooks go to /hook there. Port 0 takes a free one.
    #[arg(long, default_value = "127.0.0.1:9900", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// The `iss` of its receipts, as it is registered.
    #[arg(long, value_name = "ISSUER")]
    pub issuer: String,
    /// What it knows of the router: `whsec_…` or `whpk_…`; may be repeated.
    #[arg(
        long = "secret",
        required = true,
        value_name = "SECRET",
        env = "QUITTANCE_SANDBOX_SECRET",
        hide_env_values = true
    )]
    pub secrets: Vec<String>,
    /// The file with its private key as JWK; made if it is not there.
    #[arg(long, value_name = "FILE")]
    pub key: PathBuf,
    /// What it says that it did.
    #[arg(long, value_enum, default_value = "completed")]
    pub verdict: Says,
    /// How its receipts come back.
    #[arg(long, value_enum, default_value = "by-post")]
    pub answer: Answers,
    /// Misbehave, by this seed.
    #[arg(long, value_name = "SEED", conflicts_with_all = ["verdict", "answer"])]
    pub hostile: Option<u64>,
    /// Hosts or networks on your own premises that the router may be reached at over plain HTTP.
    #[arg(long = "trust", value_name = "HOST", default_value = "127.0.0.1")]
    pub trusted: Vec<String>,
}

/// A verdict.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[expect(missing_docs, reason = "the words of sandbox::Verdict")]
pub enum Says {
    Completed,
    Partial,
    NotFound,
    Refused,
    Failed,
    FailedThenCompleted,
    Silent,
}

/// A way for receipts.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[expect(missing_docs, reason = "the words of sandbox::Answering")]
pub enum Answers {
    InBody,
    ByPost,
    PostBeforeAnswer,
}

/// Runs it until Ctrl-C.
pub async fn run(command: &Sandbox, output: Output) -> Result<(), Failure> {
    let _guard = telemetry::init(&quiet(), "sandbox").map_err(Failure::usage)?;
    let record = Arc::new(Record::default());
    let client = client(command, Arc::clone(&record), output)?;
    let http = Http {
        listen: command.listen,
        workers: Some(1),
        ..Http::default()
    };
    let business = Business::build(&http, client, deps(&command.trusted)?).map_err(Failure::usage)?;
    let url = business.hook_url();
    output.tell(format_args!("listening for webhooks on {url}"), &json!({"url": url}));
    let lifecycle = Lifecycle::new();
    let stop = lifecycle.stop();
    lifecycle.spawn("sandbox", business.run(stop.clone()));
    lifecycle.spawn("record", watch(record, stop, output));
    match lifecycle.run_until_stopped().await {
        Ok(Ended::Asked) => Ok(()),
        Ok(Ended::Failed) => Err(Failure::no("the sandbox failed; its log says why")),
        Err(error) => Err(Failure::no(format!("signals can't be heard ({error})"))),
    }
}

/// What a client business needs of the process around it.
pub(crate) fn deps(trusted: &[String]) -> Result<Deps, Failure> {
    let hosts: Result<Vec<_>, _> = trusted.iter().map(|host| host.parse()).collect();
    let config = EgressConfig {
        trusted: hosts.map_err(|error| Failure::usage(format!("`--trust`: {}", chain(&error))))?,
        ..EgressConfig::default()
    };
    Ok(Deps {
        egress: Egress::new(&config, "quittance-sandbox").map_err(Failure::usage)?,
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng::new()),
    })
}

fn client(command: &Sandbox, record: Arc<Record>, output: Output) -> Result<Client, Failure> {
    if !command.key.exists() {
        key_files::create(&command.key, &SystemRng::new())?;
    }
    let key = key_files::load(&command.key)?;
    let words = format!(
        "signing as {}; register its public key:\n\n{}",
        command.issuer,
        registration(&key.jwk())
    );
    output.tell(words, &json!({"issuer": command.issuer, "jwk": key.jwk()}));
    let trusts: Result<Vec<_>, _> = command
        .secrets
        .iter()
        .map(|secret| VerifyingKey::parse(secret))
        .collect();
    Ok(Client {
        issuer: command.issuer.clone(),
        key,
        trusts: trusts.map_err(|error| Failure::usage(format!("`--secret`: {error}")))?,
        manner: Arc::new(manner(command)),
        record,
    })
}

/// What `quittance apply` takes; whose it is, its owner fills in.
fn registration(jwk: &Jwk) -> String {
    // A JWK's members are texts, and a JSON object of texts differs from an inline table by its colons alone.
    let members = jwk.required_members().replace("\":\"", "\" = \"").replace(',', ", ");
    let members = members.replace("{\"", "{ \"").replace("\"}", "\" }");
    format!("[[key]]\ncontroller = \"…\"\njwk = {members}\n")
}

fn manner(command: &Sandbox) -> Manner {
    let verdict = match command.verdict {
        Says::Completed => Verdict::Completed,
        Says::Partial => Verdict::Partial,
        Says::NotFound => Verdict::NotFound,
        Says::Refused => Verdict::Refused,
        Says::Failed => Verdict::Failed,
        Says::FailedThenCompleted => Verdict::FailedThenCompleted,
        Says::Silent => Verdict::Silent,
    };
    let answering = match command.answer {
        Answers::InBody => Answering::InBody,
        Answers::ByPost => Answering::ByPost,
        Answers::PostBeforeAnswer => Answering::PostBeforeAnswer,
    };
    command
        .hostile
        .map_or_else(|| Manner::good(verdict, answering), Manner::hostile)
}

/// Warnings only: what is worth seeing is printed.
fn quiet() -> Telemetry {
    Telemetry {
        filter: "warn".to_owned(),
        ..Telemetry::default()
    }
}

/// Tells what is new in the record, by ids and counts.
async fn watch(record: Arc<Record>, stop: Stop, output: Output) -> Result<(), std::convert::Infallible> {
    let mut told: HashMap<TaskId, Delivery> = HashMap::new();
    let mut heard: HashMap<String, Heard> = HashMap::new();
    let mut refused = 0;
    while stop.sleep(LOOK).await == Woken::Rested {
        for (task, delivery) in record.deliveries() {
            if told.get(&task) != Some(&delivery) {
                tell(task, &delivery, output);
                told.insert(task, delivery);
            }
        }
        for (id, message) in record.messages() {
            if heard.get(&id) != Some(&message) {
                tell_message(&id, &message, output);
                heard.insert(id, message);
            }
        }
        if record.refused() > refused {
            refused = record.refused();
            let words = format!("{refused} webhooks were refused: wrong signature, time or digest");
            output.tell(output.paint(Tone::Bad, words), &json!({"refused": refused}));
        }
    }
    Ok(())
}

fn tell_message(id: &str, message: &Heard, output: Output) {
    let words = format!("{id}  {}  verified; came {} times", message.kind, message.times);
    let facts = json!({"message": id, "type": message.kind, "times": message.times});
    output.tell(words, &facts);
}

fn tell(task: TaskId, delivery: &Delivery, output: Output) {
    let words = format!(
        "{task}  of {}  verified; came {} times, done {} times, {} receipts accepted",
        delivery.request, delivery.times, delivery.effects, delivery.receipts
    );
    let facts = json!({
        "task": task, "request": delivery.request, "times": delivery.times, "effects": delivery.effects,
        "receipts": delivery.receipts,
    });
    output.tell(words, &facts);
}

#[cfg(test)]
mod tests {
    use evidence::jwk::{Algorithm, TokenKey};

    use super::*;

    #[test]
    fn what_is_printed_can_be_registered() {
        let jwk = TokenKey::new(Algorithm::Es256, &[7; 32]).unwrap().jwk();
        let file = registry::file::File::parse(&registration(&jwk), std::path::Path::new("key.toml")).unwrap();
        let json = serde_json::to_string(&file.keys[0].jwk).unwrap();
        assert_eq!(Jwk::parse(&json).unwrap(), jwk);
    }
}
