//! One attempt: open the body, compare its digest, sign, send, and see to a receipt that comes with the answer.

use std::sync::Arc;

use connectors::Attempted;
use connectors::webhook::{self, Handover};
use domain::id::{AttemptId, SystemId};
use domain::registration::System;
use evidence::digest::sha256;
use jiff::Timestamp;
use keys::DataKey;
use platform::chance;
use platform::propagation;
use platform::webhook::SigningKey;
use store::receipts::AnomalyKind;
use store::tasks::BODY;
use store::tasks::claim::Claimed;

use super::Worker;
use crate::collect::NotTaken;

/// An attempt that is over.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) task: Claimed,
    pub(super) result: Came,
}

/// What an attempt came to.
#[derive(Debug)]
pub(super) enum Came {
    /// It was made.
    Tried {
        attempt: AttemptId,
        attempted: Attempted,
        started_at: Timestamp,
        ended_at: Timestamp,
        odd: Option<AnomalyKind>,
    },
    /// Nothing was sent, and nothing of the schedule is spent: the engine is stopping, or the body can't be opened now.
    NotMade,
    /// The stored bytes are not what was planned: never to be sent.
    Corrupt,
}

/// Where a task goes and what signs it.
#[derive(Debug, Clone)]
pub(super) struct Endpoint {
    pub(super) system: Arc<System>,
    pub(super) keys: Arc<Vec<SigningKey>>,
}

impl Worker {
    /// Does the attempt for a claimed task.
    pub(super) async fn attempt(&self, task: Claimed, endpoint: Endpoint, key: Option<DataKey>) -> Ended {
        let result = match open(&task, key.as_ref()) {
            Opened::Body(body) => self.send(&task, &endpoint, &body).await,
            Opened::NotNow => Came::NotMade,
            Opened::Corrupt => Came::Corrupt,
        };
        Ended { task, result }
    }

    async fn send(&self, task: &Claimed, endpoint: &Endpoint, body: &[u8]) -> Came {
        let started_at = self.bench.clock.now();
        let trace = propagation::current();
        let handover = Handover {
            url: endpoint.system.url.as_deref().unwrap_or_default(),
            id: &task.id.to_string(),
            body,
            keys: &endpoint.keys,
            at: started_at,
            trace: &trace,
        };
        let attempted = webhook::attempt(&self.bench.egress, handover, self.bench.config.limits()).await;
        let (attempted, odd) = self.keep_receipt(attempted).await;
        Came::Tried {
            attempt: AttemptId::new(started_at, chance::bytes(&*self.bench.rng)),
            attempted,
            started_at,
            ended_at: self.bench.clock.now(),
            odd,
        }
    }

    /// A receipt in the answer must be durable before the task counts as handed over: its owner has said its word and
    /// may never say it again. If we can't keep it now, the attempt is one of ours that failed, and is made again.
    async fn keep_receipt(&self, attempted: Attempted) -> (Attempted, Option<AnomalyKind>) {
        let Attempted::Delivered {
            status,
            receipt: Some(token),
        } = attempted
        else {
            return (attempted, None);
        };
        let delivered = Attempted::Delivered { status, receipt: None };
        match self.bench.collector.submit(token).await {
            Ok(()) => (delivered, None),
            Err(NotTaken::Refused(_)) => (delivered, Some(AnomalyKind::RefusedAnswer)),
            Err(NotTaken::Again) => (Attempted::Ours(platform::egress::Ours::Request), None),
        }
    }
}

enum Opened {
    Body(Vec<u8>),
    NotNow,
    Corrupt,
}

fn open(task: &Claimed, key: Option<&DataKey>) -> Opened {
    let (Some(key), Some(sealed)) = (key, &task.sealed) else {
        return Opened::NotNow;
    };
    match key.open(BODY, sealed) {
        Ok(body) if sha256(&body) == task.digest => Opened::Body(body),
        _ => Opened::Corrupt,
    }
}

/// What is known of a system that tasks are sent to; `None` if it is not registered any more.
pub(super) fn endpoint(worker: &Worker, system: SystemId) -> Option<Endpoint> {
    let directory = worker.bench.directory.current();
    let registered = directory.system(system)?;
    let own = directory.system_secrets(system).map(|sealed| (system.uuid(), sealed));
    let owner = registered.controller;
    let controllers = directory.controller_secrets(owner).map(|sealed| (owner.uuid(), sealed));
    let opened = own.into_iter().chain(controllers).flat_map(|(of, sealed)| {
        let opened = store::registry::secrets::open(&worker.bench.keyring, of, sealed);
        opened.unwrap_or_else(|error| {
            tracing::error!(error = &error as &dyn std::error::Error, system = %system, "secrets can't be opened");
            vec![]
        })
    });
    let keys = opened.filter_map(|secret| SigningKey::parse(&secret).ok()).collect();
    Some(Endpoint {
        system: Arc::new(registered.clone()),
        keys: Arc::new(keys),
    })
}
