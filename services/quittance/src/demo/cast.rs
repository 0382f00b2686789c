//! Who plays the client businesses: for each system of the example registrations, a sandbox with a key of its own.
//!
//! The published examples name no keys and addresses that don't exist. Here each system gets an address on this
//! machine, a fresh secret and a fresh key, and the registrations say so before they are applied.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use domain::registration::ConnectorKind;
use evidence::jwk::{Algorithm, TokenKey};
use platform::chance::{self, Rng};
use platform::http::Http;
use platform::lifecycle::Lifecycle;
use platform::secret::Secret;
use platform::webhook::{self, VerifyingKey};
use registry::file::{At, File, KeyEntry, KeyWish, SystemEntry};
use sandbox::{Answering, Client, Deps, Manner, Record, Sandbox, Verdict};

use crate::examples;
use crate::failure::Failure;

/// The examples that the demonstration plays.
const PLAYED: [&str; 3] = ["operator.toml", "smart-reply.toml", "modelix.toml"];

/// The businesses, and the registrations that fit them.
pub(super) struct Cast {
    /// What is applied, as text can be read again for every try.
    pub texts: Vec<(&'static str, &'static str)>,
    players: Vec<Player>,
}

/// One system's other side.
struct Player {
    controller: String,
    system: String,
    url: String,
    secret: Secret,
    issuer: String,
    jwk: toml::Table,
    record: Arc<Record>,
}

impl Cast {
    /// Binds a sandbox for every webhook and starts it.
    pub(super) fn assemble(rng: &dyn Rng, deps: &Deps, lifecycle: &Lifecycle) -> Result<Self, Failure> {
        let texts: Vec<_> = examples::ALL
            .into_iter()
            .filter(|(name, _)| PLAYED.contains(name))
            .collect();
        let file = read(&texts)?;
        let issuers: HashMap<&str, &str> = file
            .controllers
            .iter()
            .map(|one| (one.slug.as_str(), one.issuer.as_str()))
            .collect();
        let mut players = vec![];
        for system in file.systems.iter().filter(|system| system.kind != ConnectorKind::Pull) {
            let issuer = system.issuer.as_deref().unwrap_or(issuers[system.controller.as_str()]);
            players.push(Player::start(system, issuer, rng, deps, lifecycle)?);
        }
        Ok(Self { texts, players })
    }

    /// The registrations, with the players' addresses, secrets and keys.
    pub(super) fn registrations(&self) -> Result<File, Failure> {
        let mut file = read(&self.texts)?;
        for player in &self.players {
            let is_his =
                |system: &&mut SystemEntry| system.controller == player.controller && system.slug == player.system;
            if let Some(system) = file.systems.iter_mut().find(is_his) {
                system.url = Some(player.url.clone());
                system.secrets = vec![player.secret.clone()];
            }
            file.keys.push(KeyEntry {
                at: At::default(),
                controller: player.controller.clone(),
                issuer: Some(player.issuer.clone()),
                jwk: player.jwk.clone(),
                state: KeyWish::Active,
            });
        }
        Ok(file)
    }

    /// What went wrong at the businesses' doors: every task must have come with a good signature, with the same bytes
    /// each time, and have been done once.
    pub(super) fn complaints(&self) -> Vec<String> {
        self.players.iter().flat_map(Player::complaints).collect()
    }

    /// How many tasks were done.
    pub(super) fn effects(&self) -> u32 {
        let done = |player: &Player| {
            player
                .record
                .deliveries()
                .iter()
                .map(|(_, delivery)| delivery.effects)
                .sum::<u32>()
        };
        self.players.iter().map(done).sum()
    }
}

impl Player {
    fn start(
        system: &SystemEntry,
        issuer: &str,
        rng: &dyn Rng,
        deps: &Deps,
        lifecycle: &Lifecycle,
    ) -> Result<Self, Failure> {
        let (secret, key) = (webhook::generate_shared(rng), signing_key(rng));
        let record = Arc::new(Record::default());
        let mut jwk = toml::Table::new();
        let members: serde_json::Map<String, serde_json::Value> =
            serde_json::from_str(&key.jwk().required_members()).map_err(Failure::no)?;
        jwk.extend(
            members
                .into_iter()
                .filter_map(|(name, value)| Some((name, value.as_str()?.to_owned().into()))),
        );
        let client = Client {
            issuer: issuer.to_owned(),
            key,
            trusts: vec![VerifyingKey::parse(secret.expose()).map_err(Failure::no)?],
            manner: Arc::new(manner(system)),
            record: Arc::clone(&record),
        };
        let business = Sandbox::build(&http(), client, deps.clone()).map_err(Failure::no)?;
        let url = business.hook_url();
        lifecycle.spawn("client business", business.run(lifecycle.stop()));
        Ok(Self {
            controller: system.controller.clone(),
            system: system.slug.clone(),
            url,
            secret,
            issuer: issuer.to_owned(),
            jwk,
            record,
        })
    }

    fn complaints(&self) -> Vec<String> {
        let name = format!("{}/{}", self.controller, self.system);
        let counted = [
            (self.record.refused(), "webhooks with a wrong signature"),
            (self.record.altered(), "webhooks with other bytes than the first time"),
            (
                self.record.refused_receipts(),
                "receipts that the router did not accept",
            ),
        ];
        let counted = counted.into_iter().filter(|(number, _)| *number > 0);
        let told = counted.map(|(number, what)| format!("{name}: {number} {what}"));
        let twice = self
            .record
            .deliveries()
            .into_iter()
            .filter(|(_, delivery)| delivery.effects > 1);
        let twice = twice.map(|(task, delivery)| format!("{name}: {task} was done {} times", delivery.effects));
        told.chain(twice).collect()
    }
}

/// One business keeps its invoices on tax law, one answers in the webhook's own answer, the rest post.
fn manner(system: &SystemEntry) -> Manner {
    match (system.controller.as_str(), system.slug.as_str()) {
        ("nablus-sweets", "orders") => Manner::good(Verdict::Partial, Answering::ByPost),
        ("olive-books", _) => Manner::good(Verdict::Completed, Answering::InBody),
        ("atlas-fashion", _) => Manner::good(Verdict::Completed, Answering::PostBeforeAnswer),
        _ => Manner::good(Verdict::Completed, Answering::ByPost),
    }
}

fn read(texts: &[(&'static str, &'static str)]) -> Result<File, Failure> {
    let mut whole = File::default();
    for (name, text) in texts {
        let file = File::parse(text, Path::new(name))?;
        whole.controllers.extend(file.controllers);
        whole.contacts.extend(file.contacts);
        whole.bindings.extend(file.bindings);
        whole.systems.extend(file.systems);
        whole.keys.extend(file.keys);
        whole.instructions.extend(file.instructions);
    }
    Ok(whole)
}

fn signing_key(rng: &dyn Rng) -> TokenKey {
    TokenKey::new(Algorithm::EdDsa, &chance::bytes(rng)).expect("32 bytes are an Ed25519 seed")
}

fn http() -> Http {
    Http {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        workers: Some(1),
        ..Http::default()
    }
}
