//! `kill -9` of any service at any moment: nothing accepted is lost, nothing is done twice.
//!
//! Real processes on real Kafka and PostgreSQL. Callers send ten requests a second and send each again until it is
//! taken; client businesses are hostile. Meanwhile one process after the other is killed and started again, each time
//! while it, or a fellow of it, has half an accept and half a receipt in its hand and waits for the answer to a
//! webhook. When all of it has come to rest, what callers were told and what businesses were sent is compared with
//! what the router's tables and the log say. `QUITTANCE_SEED` repeats a run's kills and troubles, as far as time does.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::receipt::Outcome;
use futures_util::{StreamExt as _, stream};
use platform::chance::{self, SeededRng};
use platform::lifecycle::Ended;
use sandbox::Manner;
use serde_json::Value;
use tests::harness::callers::{Caller, Message, Told, Way};
use tests::harness::invariants::{self, Found, Outside};
use tests::harness::patience::{eventually, within};
use tests::harness::torn::{self, Torn};
use tests::harness::{Client, Place, Router, Service, open, run};
use uuid::Uuid;

/// Requests at least; they go on until there were kills enough.
const REQUESTS: usize = 500;

/// Kills at least; they go on until there were requests enough.
const KILLS: usize = 20;

/// Ten a second.
const PACE: Duration = Duration::from_millis(100);

/// The longest that the last request may take to come to rest after the last kill.
const DRAINED_WITHIN: Duration = Duration::from_mins(2);

/// Repeats that are on their way at once.
const AT_ONCE: usize = 32;

/// Between two looks at the log's head.
const LOOK: Duration = Duration::from_millis(700);

#[test]
fn nothing_accepted_is_lost_and_nothing_is_done_twice() {
    run(async {
        let seed = seed();
        let router = Router::start_processes(Place::cluster().await.in_a_hurry()).await;
        let clients = businesses(&router, seed).await;
        let started = Instant::now();
        let storm = Storm::new(&router, &clients, seed);
        let (mut told, (), ()) = tokio::join!(storm.load(), storm.kills(), storm.watch());
        told.extend(storm.whole_again().await);
        let (loaded, calm) = (started.elapsed(), Instant::now());
        storm.mute().system().tap.open();
        drain(&router).await;
        let (rest, checking) = (calm.elapsed(), Instant::now());
        let mut found = invariants::check(&router, &clients, &storm.outside(&told)).await;
        found.broken.extend(answered_otherwise(&router, &told).await);
        storm.tell(&found, [loaded, rest, checking.elapsed()]);
        assert!(found.broken.is_empty(), "seed {seed}:\n{}", found.broken.join("\n"));
        assert_eq!(router.shut_down().await, Ended::Asked);
    });
}

fn seed() -> u64 {
    let given = std::env::var("QUITTANCE_SEED").ok().and_then(|seed| seed.parse().ok());
    given.unwrap_or_else(|| u64::from_le_bytes(chance::bytes(&chance::SystemRng::new())))
}

/// Three businesses with four systems among them, and one more that does not answer while the storm lasts.
async fn businesses(router: &Router, seed: u64) -> Vec<Client<'_>> {
    let hostile = |number| Manner::hostile(seed.wrapping_add(number));
    vec![
        router.client_of("mute", vec![("crm", hostile(0))]).await,
        router.client_of("first", vec![("crm", hostile(1))]).await,
        router
            .client_of("second", vec![("crm", hostile(2)), ("mail", hostile(3))])
            .await,
        router.client_of("third", vec![("crm", hostile(4))]).await,
    ]
}

/// The kills, and what goes on meanwhile.
struct Storm<'r> {
    router: &'r Router,
    clients: &'r [Client<'r>],
    caller: Caller,
    rng: SeededRng,
    seed: u64,
    over: Cell<bool>,
    killed: RefCell<Vec<Service>>,
    /// Requests of which only a half was sent.
    halves: RefCell<Vec<Message>>,
    torn_receipts: RefCell<Vec<Uuid>>,
    heads: RefCell<Vec<String>>,
    ended_alone: RefCell<Vec<Service>>,
}

/// What is half-done at a kill.
struct InHand(#[expect(dead_code, reason = "it is held, not used")] [Torn; 2]);

impl<'r> Storm<'r> {
    fn new(router: &'r Router, clients: &'r [Client<'r>], seed: u64) -> Self {
        Self {
            router,
            clients,
            caller: Caller::new(router),
            rng: SeededRng::new(seed),
            seed,
            over: Cell::new(false),
            killed: RefCell::default(),
            halves: RefCell::default(),
            torn_receipts: RefCell::default(),
            heads: RefCell::default(),
            ended_alone: RefCell::default(),
        }
    }

    fn mute(&self) -> &'r Client<'r> {
        &self.clients[0]
    }

    fn drawn(&self, below: usize) -> usize {
        usize::from(u16::from_le_bytes(chance::bytes(&self.rng))) % below
    }

    /// Ten requests a second until there were enough of them and of kills; returns what each caller was told.
    async fn load(&self) -> Vec<Told> {
        self.mute().system().tap.hold();
        let pace = tokio::time::interval(PACE);
        let messages = stream::unfold((0, pace), async |(number, mut pace)| {
            pace.tick().await;
            let enough = number >= REQUESTS && self.killed.borrow().len() >= KILLS;
            self.over.set(enough);
            (!enough).then(|| (self.message(number), (number + 1, pace)))
        });
        let told = messages.map(|message| self.caller.insist(message));
        told.buffer_unordered(usize::MAX).collect().await
    }

    /// One in ten is for the business that doesn't answer; half come by chat, half by a product.
    fn message(&self, number: usize) -> Message {
        let client = match number % 10 {
            0 => self.mute(),
            other => &self.clients[1 + other % 3],
        };
        if (number / 10).is_multiple_of(2) {
            Message::chat(client)
        } else {
            Message::rest(client)
        }
    }

    /// Kills, and starts again at once; what was in hand is dropped only then.
    async fn kills(&self) {
        let processes = self.router.processes();
        while !self.over.get() {
            tokio::time::sleep(Duration::from_millis(300 + 10 * self.drawn(120) as u64)).await;
            let Some(in_hand) = self.take_in_hand().await else {
                return;
            };
            let service = Service::CLUSTER[self.drawn(3)];
            if !processes.runs(service) {
                self.ended_alone.borrow_mut().push(service);
            }
            processes.kill(service);
            processes.begin(service);
            self.killed.borrow_mut().push(service);
            // What hung is now done and answered, whether or not somebody still listens.
            let tap = &self.mute().system().tap;
            tap.open();
            tokio::time::sleep(Duration::from_millis(100)).await;
            tap.hold();
            drop(in_hand);
        }
    }

    /// Half an accept, half a receipt, and a webhook that is not answered; nothing if none comes any more.
    async fn take_in_hand(&self) -> Option<InHand> {
        let running = self.router.running();
        let tap = &self.mute().system().tap;
        eventually("a webhook is unanswered", || async {
            if tap.waiting() > 0 || self.over.get() {
                Ok(())
            } else {
                Err("none".to_owned())
            }
        })
        .await;
        if tap.waiting() == 0 {
            return None;
        }
        let heard = tap.heard().pop().expect("it was heard");
        let receipt = self.mute().sign(&heard, Outcome::Completed);
        self.torn_receipts.borrow_mut().push(jti(&receipt));
        let media = [("content-type", "application/secevent+jwt")];
        let half_receipt = torn::half(&running.dispatch, "/v1/receipts", &media, receipt.as_bytes()).await;

        let message = Message::rest(self.clients.last().expect("there are some"));
        let Way::Rest { body, key } = &message.way else {
            unreachable!("it was made so")
        };
        let bearer = format!("Bearer {}", running.product.expose());
        let headers = [
            ("content-type", "application/json"),
            ("authorization", &bearer),
            ("idempotency-key", key),
        ];
        let half_accept = torn::half(&running.intake, "/v1/requests", &headers, body).await;
        self.halves.borrow_mut().push(message);
        Some(InHand([half_receipt, half_accept]))
    }

    /// Those who could send only half of it send it again, as anybody would.
    async fn whole_again(&self) -> Vec<Told> {
        let halves = self.halves.take();
        stream::iter(halves)
            .map(|message| self.caller.insist(message))
            .buffer_unordered(8)
            .collect()
            .await
    }

    /// Reads the log's head now and then.
    async fn watch(&self) {
        let url = format!("{}/log/checkpoint", self.router.running().ledger);
        while !self.over.get() {
            if let Ok(answer) = reqwest::get(&url).await
                && answer.status().is_success()
                && let Ok(head) = answer.text().await
            {
                self.heads.borrow_mut().push(head);
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn outside<'a>(&'a self, told: &'a [Told]) -> Outside<'a> {
        let dispatch = self
            .killed
            .borrow()
            .iter()
            .filter(|service| **service == Service::Dispatch)
            .count();
        Outside {
            told,
            heads: self.heads.borrow().clone(),
            torn: self.torn_receipts.borrow().clone(),
            killed: u32::try_from(dispatch).expect("few"),
        }
    }

    /// A table, past the capture of what tests print: it is the run's result.
    fn tell(&self, found: &Found, took: [Duration; 3]) {
        let killed = self.killed.borrow();
        let mut text = format!("\nkill -9, seed {}\n", self.seed);
        for service in Service::CLUSTER {
            let times = killed.iter().filter(|one| **one == service).count();
            let _ = writeln!(text, "{times:>8}  kills of {service:?}");
        }
        for (what, figure) in &found.figures {
            let _ = writeln!(text, "{figure:>8}  {what}");
        }
        let spent = ["under kills", "until all was at rest", "to compare"];
        for (took, what) in took.iter().zip(spent) {
            let _ = writeln!(text, "{:>8.1}  seconds {what}", took.as_secs_f64());
        }
        let _ = writeln!(text, "{:>8}  rules broken", found.broken.len());
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
        assert!(
            self.ended_alone.borrow().is_empty(),
            "ended by themselves: {:?}",
            self.ended_alone
        );
    }
}

fn jti(token: &str) -> Uuid {
    let payload = token.split('.').nth(1).expect("a token has a payload");
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).expect("base64url")).expect("JSON");
    claims["jti"].as_str().expect("it has an id").parse().expect("a UUID")
}

/// Waits until nothing is open and nothing is on its way.
async fn drain(router: &Router) {
    within(DRAINED_WITHIN, "all comes to rest", || async {
        match open(router).await {
            [0, 0, 0, 0] => Ok(()),
            open => Err(format!("requests, messages, entries, receipts: {open:?}")),
        }
    })
    .await;
}

/// I8: a repeat gets the first answer, byte for byte: the same id, the same start of the clock. Those that didn't.
async fn answered_otherwise(router: &Router, told: &[Told]) -> Vec<String> {
    let repeats = told.iter().filter_map(|told| match &told.message.way {
        Way::Rest { body, key } => Some((told, body, key)),
        Way::Chat(_) => None,
    });
    let answers = stream::iter(repeats).map(async |(told, body, key)| {
        let again = router.post_bytes(body.clone(), key).await;
        let first = String::from_utf8_lossy(&told.answer);
        (again.body != told.answer).then(|| format!("I8: told {first}, and then {} {}", again.status, again.text()))
    });
    answers
        .buffer_unordered(AT_ONCE)
        .filter_map(async |broken| broken)
        .collect()
        .await
}
