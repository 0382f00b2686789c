//! The client businesses' side: as fast as it can be, since it shares the machine with what is measured.
//!
//! It believes every webhook. Whether it signs a receipt, answers without one, or holds its answer back is set for all
//! businesses at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use actix_web::HttpResponse;
use actix_web::web::{self, Bytes, Data};
use domain::receipt::{Completion, Outcome, Report};
use evidence::digest::sha256;
use evidence::jwk::{Algorithm, TokenKey};
use evidence::token::MEDIA_TYPE;
use evidence::token::sign::{Claims, sign_report};
use platform::chance::{self, SystemRng};
use platform::clock::{Clock as _, SystemClock};
use platform::http::{BindError, Server};
use platform::lifecycle::Lifecycle;
use sandbox::Task;
use serde::Deserialize;
use tokio::sync::watch;

use crate::harness::running::results;
use crate::harness::tap::loopback;

/// How webhooks are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Not before the mode changes.
    Held,
    /// 202, unread.
    Unread,
    /// 200 with a signed receipt.
    Receipt,
}

/// Who signs: a business and its key, in the order in which their addresses were given out.
#[derive(Debug)]
pub(super) struct Signer {
    pub(super) issuer: String,
    pub(super) key: TokenKey,
}

/// All businesses' one door.
#[derive(Debug)]
pub(super) struct Receiver {
    mode: watch::Sender<Mode>,
    signers: watch::Sender<Arc<[Signer]>>,
    answered: AtomicUsize,
    bytes: AtomicUsize,
    rng: SystemRng,
}

#[derive(Debug, Deserialize)]
struct Message {
    data: Task,
}

impl Receiver {
    /// Listens; business `n` is to be reached at the returned address with `/n` behind it.
    pub(super) fn start(lifecycle: &Lifecycle) -> Result<(Arc<Self>, String), BindError> {
        let receiver = Arc::new(Self {
            mode: watch::Sender::new(Mode::Unread),
            signers: watch::Sender::new(Arc::new([])),
            answered: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            rng: SystemRng::new(),
        });
        let data = Data::from(Arc::clone(&receiver));
        let server = Server::build(&loopback(), "receiver", vec![], move |routes| {
            routes.app_data(data.clone()).route("/{place}", web::post().to(receive));
        })?;
        let url = server.url();
        lifecycle.spawn("receiver", server.run(lifecycle.stop()));
        Ok((receiver, url))
    }

    /// From now on, and for those that are held, it answers like this.
    pub(super) fn set(&self, mode: Mode) {
        self.mode.send_replace(mode);
    }

    /// From now on these sign.
    pub(super) fn sign_for(&self, signers: Vec<Signer>) {
        self.signers.send_replace(signers.into());
    }

    /// Webhooks that were answered.
    pub(super) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// The size of the webhook that came last.
    pub(super) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }

    fn receipt(&self, place: usize, body: &[u8]) -> Option<String> {
        let task = serde_json::from_slice::<Message>(body).ok()?.data;
        let signers = Arc::clone(&self.signers.borrow());
        let signer = signers.get(place)?;
        Some(sign(signer, &task, sha256(body), &self.rng))
    }
}

async fn receive(place: web::Path<usize>, body: Bytes, receiver: Data<Receiver>) -> HttpResponse {
    let mut mode = receiver.mode.subscribe();
    let Ok(mode) = mode.wait_for(|mode| *mode != Mode::Held).await.map(|mode| *mode) else {
        return HttpResponse::ServiceUnavailable().finish();
    };
    receiver.bytes.store(body.len(), Ordering::Relaxed);
    let answer = match (mode, *place) {
        (Mode::Receipt, place) => match receiver.receipt(place, &body) {
            Some(token) => HttpResponse::Ok().content_type(MEDIA_TYPE).body(token),
            None => HttpResponse::BadRequest().finish(),
        },
        _ => HttpResponse::Accepted().finish(),
    };
    receiver.answered.fetch_add(1, Ordering::Relaxed);
    answer
}

/// A receipt that says that everything was done.
pub(super) fn sign(signer: &Signer, task: &Task, task_digest: [u8; 32], rng: &SystemRng) -> String {
    let now = SystemClock.now();
    let claims = Claims {
        issuer: &signer.issuer,
        audience: &task.receipt.audience,
        issued_at: now,
        occurred_at: Some(now),
        jti: uuid::Builder::from_random_bytes(chance::bytes(rng)).into_uuid(),
        request: task.request,
    };
    let completion = Completion {
        task: task.task,
        task_digest,
        outcome: Outcome::Completed,
        results: results(Outcome::Completed),
        artifact: None,
        attachments: vec![],
    };
    sign_report(&claims, &Report::Completed(completion), &signer.key)
}

impl Signer {
    /// Somebody with a key of their own.
    pub(super) fn new(issuer: &str) -> Self {
        let seed = chance::bytes(&SystemRng::new());
        Self {
            issuer: issuer.to_owned(),
            key: TokenKey::new(Algorithm::EdDsa, &seed).expect("every seed is a key"),
        }
    }
}
