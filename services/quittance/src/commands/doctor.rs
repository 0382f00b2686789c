//! `quittance doctor`: everything that a deployment needs, looked at once, each finding with its remedy.

use clap::Args;
use platform::bus::TopicMode;
use serde_json::json;
use store::Store;
use store::registry::DirectoryCache;

use super::topics;
use crate::deployment::{Database, Deployment};
use crate::failure::{Exit, Failure};
use crate::key_files;
use crate::output::{Output, Tone};
use crate::settings::Settings;

/// Check the configuration, key files, databases, bus and registry of a deployment, and say how to mend what is wrong.
///
/// Changes nothing. Exit 0 if all is well, 3 if something does not answer, 1 if something else is wrong.
#[derive(Debug, Args)]
pub struct Doctor {}

/// Looks at everything, even after something was found.
pub async fn run(settings: Settings, output: Output) -> Result<(), Failure> {
    let deployment = Deployment::new(settings);
    let mut ward = Ward { output, found: vec![] };
    ward.note("configuration", Ok(deployment_in_words(&deployment)));
    ward.keys(&deployment);
    for which in Database::ALL {
        ward.database(&deployment, which).await;
    }
    ward.bus(&deployment).await;
    ward.registry(&deployment).await;
    match ward.found.iter().max_by_key(|exit| **exit == Exit::Unreachable) {
        None => Ok(()),
        Some(exit) => Err(Failure {
            exit: if *exit == Exit::Unreachable { *exit } else { Exit::No },
            line: format!("{} things are wrong", ward.found.len()),
        }),
    }
}

struct Ward {
    output: Output,
    found: Vec<Exit>,
}

impl Ward {
    fn note(&mut self, what: &str, finding: Result<String, Failure>) {
        let (mark, words) = match &finding {
            Ok(words) => (self.output.paint(Tone::Good, "well "), words.clone()),
            Err(failure) => (self.output.paint(Tone::Bad, "WRONG"), failure.line.clone()),
        };
        let facts = json!({"what": what, "well": finding.is_ok(), "says": words});
        self.output.tell(format_args!("{mark}  {what:<15} {words}"), &facts);
        self.found.extend(finding.err().map(|failure| failure.exit));
    }

    fn keys(&mut self, deployment: &Deployment) {
        let ring = deployment.settings.key_ring();
        self.note(
            "key ring",
            deployment.keyring().map(|_| format!("{} opens", ring.display())),
        );
        let file = deployment.settings.statement_key();
        let key = key_files::load(&file);
        self.note(
            "statement key",
            key.map(|key| format!("{} is {}", file.display(), key.kid())),
        );
    }

    async fn database(&mut self, deployment: &Deployment, which: Database) {
        let looked = async {
            let place = deployment.place(which)?;
            deployment.is_made(which)?;
            let db = deployment.connect(which).await?;
            db.check_schema(&which.migrations()).await?;
            Ok(format!("{place} answers, and its schema is this program's"))
        };
        let finding = looked.await;
        self.note(&format!("database {}", which.name()), finding);
    }

    async fn bus(&mut self, deployment: &Deployment) {
        // The embedded bus belongs to the process that has it open.
        let Some(kafka) = &deployment.settings.kafka else {
            return self.note("bus", Ok("a file in the data folder".to_owned()));
        };
        let looked = async {
            let bus = deployment.bus().await?;
            bus.check().await?;
            let states = bus.topics(&topics::specs(), TopicMode::Check).await?;
            bus.close().await;
            Ok(states)
        };
        let finding = looked.await.map_err(|failure: Failure| Failure {
            line: format!(
                "{} (brokers {}); start them, or correct `kafka.brokers`",
                failure.line, kafka.brokers
            ),
            ..failure
        });
        let finding = finding.and_then(|states| match states.iter().filter(|state| !topics::is_good(state)).count() {
            0 => Ok(format!("{} answers and has its {} topics", kafka.brokers, states.len())),
            wrong => Err(Failure::no(format!(
                "{wrong} topics are missing or differ; `quittance topics --check` says which, `quittance topics` makes them"
            ))),
        });
        self.note("bus", finding);
    }

    async fn registry(&mut self, deployment: &Deployment) {
        let looked = async {
            deployment.is_made(Database::Router)?;
            let db = deployment.connect(Database::Router).await?;
            db.check_schema(&Database::Router.migrations()).await?;
            let cache = DirectoryCache::new(Store::new(db));
            cache.refresh().await?;
            let directory = cache.current();
            let (controllers, keys) = (directory.controllers().count(), directory.keys().count());
            match (directory.operator(), controllers) {
                (Some(_), _) => Ok(format!("controllers: {controllers}, their public keys: {keys}")),
                (None, 0) => Err(Failure::no(
                    "nothing is registered; begin with `quittance apply -f operator.toml`",
                )),
                (None, _) => Err(Failure::no(
                    "no controller is the operator, so unmatched requests have no place; apply one with `operator = true`",
                )),
            }
        };
        let finding = looked.await;
        self.note("registry", finding);
    }
}

fn deployment_in_words(deployment: &Deployment) -> String {
    let settings = &deployment.settings;
    let url = settings.public_url();
    if settings.is_embedded() {
        format!("embedded, in the folder {}, known as {url}", settings.data.display())
    } else {
        format!("a cluster's, known as {url}")
    }
}
