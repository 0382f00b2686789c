//! Setting the stage, and playing.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use domain::assurance::AssuranceLevel;
use domain::id::RequestId;
use platform::egress::{Egress, EgressConfig};
use platform::lifecycle::Lifecycle;
use platform::secret::Secret;
use sandbox::Deps;
use serde_json::{Value, json};
use store::Store;
use store::registry::Directory;

use super::Demo;
use super::audit::{self, Auditor};
use super::cast::Cast;
use super::doors::Sender;
use super::follow::{Followed, Follower};
use super::ground::Ground;
use super::report;
use super::script::{self, Scene};
use crate::commands::apply;
use crate::commands::token::{self, Add, RoleName, auditor};
use crate::failure::Failure;
use crate::output::{Output, Tone, shell_word};
use crate::router::{Roles, Router};

/// Registrations are logged within a second; a slow disk may take longer.
const LOGGED_WITHIN: Duration = Duration::from_secs(30);

/// All requests are closed within a few seconds; a slow machine may take longer.
const CLOSED_WITHIN: Duration = Duration::from_secs(90);

/// An auditor's token of the demonstration opens the ledger for a day.
const AUDITOR_FOR: Duration = Duration::from_hours(24);

/// Everything is up.
pub(super) struct Stage {
    router: Arc<Router>,
    cast: Cast,
    egress: Egress,
    app_secret: Secret,
    bot_secret: Secret,
    began: Instant,
    /// Whether there is something to look at afterwards.
    stays: bool,
}

/// Starts the client businesses and the router.
pub(super) async fn set(demo: &Demo, ground: &Ground, lifecycle: &Lifecycle) -> Result<Stage, Failure> {
    let began = Instant::now();
    let deployment = ground.deployment.clone();
    let trusted = EgressConfig {
        trusted: vec!["127.0.0.1".parse().map_err(Failure::no)?],
        ..EgressConfig::default()
    };
    let egress = Egress::new(&trusted, "quittance-demo").map_err(Failure::no)?;
    let deps = Deps {
        egress: egress.clone(),
        clock: Arc::clone(&deployment.clock),
        rng: Arc::clone(&deployment.rng),
    };
    let cast = Cast::assemble(&*deployment.rng, &deps, lifecycle)?;
    let router = Router::start(deployment, Roles::All, lifecycle).await?;
    Ok(Stage {
        router: Arc::new(router),
        cast,
        egress,
        app_secret: ground.app_secret.clone(),
        bot_secret: ground.bot_secret.clone(),
        began,
        stays: demo.data.is_some() || !demo.once,
    })
}

impl Stage {
    /// The router, for whoever waits for its end.
    pub(super) fn router(&self) -> Arc<Router> {
        Arc::clone(&self.router)
    }

    /// The whole demonstration.
    pub(super) async fn play(&self, output: Output) -> Result<(), Failure> {
        let url = Self::url(self.router.intake);
        output.tell(
            output.paint(
                Tone::Strong,
                "An embedded deployment is up, with a sandbox for each client business's systems.",
            ),
            &json!({"step": "up", "intake": url, "data": self.router.deployment.settings.data}),
        );
        let directory = self.register(output).await?;
        let auditor = self.auditor().await?;
        let earlier = auditor.head().await?;
        let store = self.store()?;
        let scenes = script::scenes(self.router.deployment.clock.now());
        let (db, wanted) = (store.db().clone(), scenes.len() as u64);
        let mut follower = Follower::begin(&self.router.bus, db, Arc::clone(&directory), wanted, output).await?;
        let sending = self.send(&scenes, directory, output);
        let (sent, done) = tokio::join!(sending, follower.until_done(scenes.len(), CLOSED_WITHIN));
        let requests = follower.followed();
        report::table(&requests, follower.directory(), output);
        let links = sent?;
        done?;
        let mut faults = report::faults(&scenes, &requests, follower.directory());
        faults.extend(self.cast.complaints());
        let evidence = self.prove(&auditor, &earlier, &requests, output).await;
        faults.extend(evidence.as_ref().err().map(ToString::to_string));
        self.conclude(&faults, output)?;
        let folder = evidence?;
        if self.stays {
            self.point(&links, &folder, &auditor.token, &requests, output);
        }
        Ok(())
    }

    async fn register(&self, output: Output) -> Result<Arc<Directory>, Failure> {
        let registrar = apply::registrar(&self.router.deployment).await?;
        let written = apply::write(&registrar, || self.cast.registrations()).await?;
        if let Some((changes, applied)) = &written {
            self.store()?.waker().wake();
            registrar.wait(applied, LOGGED_WITHIN).await?;
            let (registrations, entries) = (changes.lines.len(), applied.entries.len());
            output.tell(
                format_args!("{registrations} registrations are applied, and logged with {entries} entries."),
                &json!({"step": "registered", "registrations": registrations, "entries": entries}),
            );
        }
        let cache = self.router.directory.as_ref().ok_or_else(incomplete)?;
        cache.refresh().await?;
        Ok(cache.current())
    }

    /// Sends every scene's message; returns the status links of those who are told one.
    async fn send(&self, scenes: &[Scene], directory: Arc<Directory>, output: Output) -> Result<Vec<Value>, Failure> {
        let sender = Sender {
            egress: self.egress.clone(),
            intake: Self::url(self.router.intake),
            app_secret: self.app_secret.clone(),
            bot_secret: self.bot_secret.clone(),
            product: self.product_token().await?,
            directory,
        };
        let mut answers = vec![];
        for (scene, number) in scenes.iter().zip(1..) {
            output.tell(
                format_args!(
                    "#{number} {}: {} is asked for, at {}",
                    scene.how, scene.right, scene.controller
                ),
                &json!({"step": "sent", "number": number, "how": scene.how, "right": scene.right}),
            );
            answers.extend(sender.send(number, scene).await?);
        }
        Ok(answers)
    }

    async fn product_token(&self) -> Result<Secret, Failure> {
        let add = Add {
            role: RoleName::Product,
            label: "demonstration".to_owned(),
            controllers: vec![],
            rights: vec![],
            assurance: AssuranceLevel::AccountSession,
            system: None,
            home: None,
            from: None,
            until: None,
            expires_in_days: Some(1),
        };
        token::issue(&add, &self.router.deployment, self.store()?.db()).await
    }

    /// Somebody who may ask the ledger, and nothing else.
    async fn auditor(&self) -> Result<Auditor, Failure> {
        let (addr, archive) = self.router.ledger.as_ref().ok_or_else(incomplete)?;
        Ok(Auditor {
            egress: self.egress.clone(),
            ledger: Self::url(Some(*addr)),
            token: self.auditor_token().await?,
            vkey: archive.key().to_string(),
        })
    }

    /// Takes the evidence home and has it verified; says where it lies.
    async fn prove(
        &self,
        auditor: &Auditor,
        earlier: &[u8],
        requests: &[&Followed],
        output: Output,
    ) -> Result<PathBuf, Failure> {
        let ids: Vec<RequestId> = requests.iter().map(|one| one.shown.id).collect();
        let deployment = &self.router.deployment;
        let now = deployment.clock.now().strftime("%Y%m%dT%H%M%SZ").to_string();
        let folder = deployment.settings.data.join("evidence").join(now);
        let home = auditor.take(&ids, earlier, &folder).await?;
        let claims = audit::verify(&folder, &deployment.settings.public_url()).await?;
        let logged: usize = requests.iter().map(|one| one.receipts.len()).sum();
        if home.receipts != logged {
            return Err(Failure::no(format!(
                "{logged} receipts are logged and {} are proved",
                home.receipts
            )));
        }
        let words = format!(
            "All {logged} receipts and {} entries were verified by a separate process that had only the files: {} claims hold.",
            home.entries,
            claims.len()
        );
        let facts = json!({"step": "verified", "receipts": logged, "entries": home.entries, "claims": claims.len()});
        output.tell(output.paint(Tone::Good, words), &facts);
        Ok(folder)
    }

    async fn auditor_token(&self) -> Result<Secret, Failure> {
        let directory = self.router.directory.as_ref().ok_or_else(incomplete)?.current();
        let scope = ledger::tokens::Scope {
            home: directory.operator().ok_or_else(incomplete)?.id,
            controllers: ledger::tokens::Controllers::All,
            from: None,
            until: None,
        };
        auditor::grant(&self.router.deployment, &scope, AUDITOR_FOR).await
    }

    fn conclude(&self, faults: &[String], output: Output) -> Result<(), Failure> {
        let seconds = self.began.elapsed().as_secs_f64();
        let facts = json!({"step": "concluded", "held": faults.is_empty(), "faults": faults, "seconds": seconds});
        if faults.is_empty() {
            let done = self.cast.effects();
            let words = format!("All of it held: {done} tasks were done, each once, in {seconds:.1} s.");
            output.tell(output.paint(Tone::Good, words), &facts);
            return Ok(());
        }
        output.tell(output.paint(Tone::Bad, "Not all of it held."), &facts);
        Err(Failure::no(faults.join("; ")))
    }

    /// Where to look next.
    fn point(
        &self,
        answers: &[Value],
        folder: &std::path::Path,
        token: &Secret,
        requests: &[&Followed],
        output: Output,
    ) {
        let ledger = Self::url(self.router.ledger.as_ref().map(|(addr, _)| *addr));
        let status = answers
            .iter()
            .find_map(|answer| answer["status_url"].as_str())
            .unwrap_or_default();
        let request = requests
            .first()
            .map_or_else(String::new, |one| one.shown.id.to_string());
        let audit = format!("{ledger}/v1/audit/requests/{request}");
        let facts = json!({"step": "look", "status": status, "checkpoint": format!("{ledger}/log/checkpoint"),
            "audit": audit, "auditor_token": token.expose(), "evidence": folder});
        let words = format!(
            "Where to look next:\n  a person's status page   {status}\n  the log's signed head    curl {ledger}/log/checkpoint\n  \
             what an auditor sees     curl -H 'Authorization: Bearer {}' {audit}\n  the evidence             quittance verify {}",
            token.expose(),
            shell_word(folder)
        );
        output.tell(words, &facts);
    }

    fn store(&self) -> Result<&Store, Failure> {
        self.router.store.as_ref().ok_or_else(incomplete)
    }

    fn url(addr: Option<std::net::SocketAddr>) -> String {
        addr.map_or_else(String::new, |addr| format!("http://{addr}"))
    }
}

fn incomplete() -> Failure {
    Failure::no("a part of the deployment is not there")
}
