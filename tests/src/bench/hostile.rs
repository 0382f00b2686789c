//! Client businesses that behave badly, in a process of their own.
//!
//! The bench starts its own program once more as this receiver, so that what hangs, trickles or fails takes nothing of
//! the sender's runtime, and its processor time is told apart. How each place answers is set over its control door;
//! there too stands how many webhooks were answered, and when each first came, by the clock that both processes share.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{self, Bytes, Data};
use futures_util::stream;
use platform::clock::{Clock as _, SystemClock};
use platform::http::Server;
use platform::lifecycle::Lifecycle;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::NotMeasured;
use crate::harness::tap::loopback;

/// The argument that makes the bench's program the receiver.
pub const ARGUMENT: &str = "--receive";

/// Longer than any attempt may take.
const HANGS_FOR: Duration = Duration::from_secs(200);

/// How webhooks are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Behaviour {
    /// 202 at once.
    Prompt,
    /// 202 after 50 ms.
    Late,
    /// Not before the behaviour changes.
    Held,
    /// Not for 200 s.
    Hangs,
    /// 500 at once.
    Fails,
    /// 200 at once, then a byte a second without an end.
    Trickles,
}

/// What the control door is told.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Order {
    behaviour: Behaviour,
    /// One place only, which keeps it when the others change.
    place: Option<usize>,
    /// Whether arrivals are noted from now on; what was noted is forgotten.
    noting: bool,
}

/// How all places behave.
#[derive(Debug, Clone)]
struct Manners {
    everywhere: Behaviour,
    apart: HashMap<usize, Behaviour>,
}

struct State {
    manners: watch::Sender<Manners>,
    answered: AtomicUsize,
    noting: AtomicBool,
    /// When the first webhook about a request came, in microseconds.
    arrivals: Mutex<HashMap<String, i64>>,
}

#[derive(Deserialize)]
struct Message {
    data: About,
}

#[derive(Deserialize)]
struct About {
    request: String,
}

/// Receives until whoever started it is gone; the first line of the output is the address.
pub async fn receive() -> Result<(), NotMeasured> {
    let everywhere = Behaviour::Prompt;
    let state = Data::new(State {
        manners: watch::Sender::new(Manners {
            everywhere,
            apart: HashMap::new(),
        }),
        answered: AtomicUsize::new(0),
        noting: AtomicBool::new(false),
        arrivals: Mutex::default(),
    });
    let lifecycle = Lifecycle::new();
    let server = Server::build(&loopback(), "hostile receiver", vec![], move |routes| {
        routes
            .app_data(state.clone())
            .route("/control", web::post().to(obey))
            .route("/control/answered", web::get().to(answered))
            .route("/control/arrivals", web::get().to(arrivals))
            .route("/{place}", web::post().to(hear));
    })?;
    writeln!(std::io::stdout(), "{}", server.url())?;
    lifecycle.spawn("hostile receiver", server.run(lifecycle.stop()));
    // Whoever started us holds the other end.
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut vec![])).await??;
    Ok(())
}

async fn obey(order: web::Json<Order>, state: Data<State>) -> HttpResponse {
    state.noting.store(order.noting, Ordering::Relaxed);
    state.arrivals.lock().unwrap_or_else(PoisonError::into_inner).clear();
    state.manners.send_modify(|manners| {
        if let Some(place) = order.place {
            manners.apart.insert(place, order.behaviour);
        } else {
            manners.apart.clear();
            manners.everywhere = order.behaviour;
        }
    });
    HttpResponse::NoContent().finish()
}

async fn answered(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(state.answered.load(Ordering::Relaxed))
}

async fn arrivals(state: Data<State>) -> HttpResponse {
    HttpResponse::Ok().json(&*state.arrivals.lock().unwrap_or_else(PoisonError::into_inner))
}

async fn hear(place: web::Path<usize>, body: Bytes, state: Data<State>) -> HttpResponse {
    if state.noting.load(Ordering::Relaxed) {
        note(&state, &body);
    }
    let behaviour = state.behaviour(*place).await;
    match behaviour {
        Behaviour::Late => tokio::time::sleep(Duration::from_millis(50)).await,
        Behaviour::Hangs => tokio::time::sleep(HANGS_FOR).await,
        Behaviour::Prompt | Behaviour::Held | Behaviour::Fails | Behaviour::Trickles => {}
    }
    state.answered.fetch_add(1, Ordering::Relaxed);
    match behaviour {
        Behaviour::Fails => HttpResponse::InternalServerError().finish(),
        Behaviour::Trickles => HttpResponse::Ok().streaming(trickle()),
        _ => HttpResponse::Accepted().finish(),
    }
}

fn trickle() -> impl stream::Stream<Item = Result<Bytes, std::io::Error>> {
    stream::unfold((), |()| async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Some((Ok(Bytes::from_static(b"x")), ()))
    })
}

fn note(state: &State, body: &[u8]) {
    let now = SystemClock.now().as_microsecond();
    if let Ok(message) = serde_json::from_slice::<Message>(body) {
        let mut arrivals = state.arrivals.lock().unwrap_or_else(PoisonError::into_inner);
        arrivals.entry(message.data.request).or_insert(now);
    }
}

impl State {
    /// How this place behaves once it isn't held.
    async fn behaviour(&self, place: usize) -> Behaviour {
        let mut manners = self.manners.subscribe();
        let held = |manners: &Manners| manners.at(place) == Behaviour::Held;
        let manners = manners.wait_for(|manners| !held(manners)).await;
        manners.map_or(Behaviour::Fails, |manners| manners.at(place))
    }
}

impl Manners {
    fn at(&self, place: usize) -> Behaviour {
        self.apart.get(&place).copied().unwrap_or(self.everywhere)
    }
}

/// The receiver's process, by whoever started it.
#[derive(Debug)]
pub(super) struct Hostile {
    process: Child,
    http: reqwest::Client,
    /// Business `n` is to be reached there with `/n` behind it.
    pub(super) url: String,
}

impl Hostile {
    /// Starts the process.
    pub(super) fn start() -> Result<Arc<Self>, NotMeasured> {
        let mut command = Command::new(std::env::current_exe()?);
        let command = command.arg(ARGUMENT).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn()?;
        let output = process
            .stdout
            .take()
            .ok_or_else(|| NotMeasured("no output".to_owned()))?;
        let mut url = String::new();
        BufReader::new(output).read_line(&mut url)?;
        Ok(Arc::new(Self {
            process,
            http: reqwest::Client::builder().no_proxy().build()?,
            url: url.trim().to_owned(),
        }))
    }

    /// Its process.
    pub(super) fn process(&self) -> u32 {
        self.process.id()
    }

    /// All places behave like this, and nobody notes anything.
    pub(super) async fn set(&self, behaviour: Behaviour) -> Result<(), NotMeasured> {
        self.order(behaviour, None, false).await
    }

    /// All behave like this; first arrivals are noted from now on.
    pub(super) async fn note(&self, behaviour: Behaviour) -> Result<(), NotMeasured> {
        self.order(behaviour, None, true).await
    }

    /// One place behaves like this, until all change; arrivals are noted.
    pub(super) async fn set_at(&self, place: usize, behaviour: Behaviour) -> Result<(), NotMeasured> {
        self.order(behaviour, Some(place), true).await
    }

    async fn order(&self, behaviour: Behaviour, place: Option<usize>, noting: bool) -> Result<(), NotMeasured> {
        let order = Order {
            behaviour,
            place,
            noting,
        };
        let request = self.http.post(format!("{}/control", self.url)).json(&order);
        request.send().await?.error_for_status()?;
        Ok(())
    }

    /// Webhooks that were answered.
    pub(super) async fn answered(&self) -> Result<usize, NotMeasured> {
        self.get("answered").await
    }

    /// When the first webhook about each request came, in microseconds.
    pub(super) async fn arrivals(&self) -> Result<HashMap<String, i64>, NotMeasured> {
        self.get("arrivals").await
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, what: &str) -> Result<T, NotMeasured> {
        let answer = self.http.get(format!("{}/control/{what}", self.url)).send().await?;
        Ok(answer.error_for_status()?.json().await?)
    }
}

impl Drop for Hostile {
    fn drop(&mut self) {
        // It may be gone already, which is what is wanted.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
