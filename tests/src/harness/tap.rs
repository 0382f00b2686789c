//! What goes over the wire to a client business, kept as it was, and in a test's hands.
//!
//! The address that a system registers is a tap's; it keeps each webhook's headers and bytes, hands them on to the
//! sandbox behind it, and its answer back. A test can hold answers back, or let a business look down.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use actix_web::web::{self, Bytes, Data};
use actix_web::{HttpRequest, HttpResponse};
use platform::http::{Http, Server};
use platform::lifecycle::Lifecycle;
use serde_json::Value;
use tokio::sync::watch;

/// A webhook as it came.
#[derive(Debug, Clone)]
pub struct Heard {
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The exact bytes.
    pub body: Vec<u8>,
}

impl Heard {
    /// A header's value, or nothing.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// When it isn't.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a webhook's body is JSON")
    }
}

/// What a tap does with webhooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// On to the sandbox.
    Open,
    /// 503, and the sandbox never learns of it.
    Down,
    /// No answer until it is opened.
    Held,
}

/// A tap.
#[derive(Debug)]
pub struct Tap {
    heard: Mutex<Vec<Heard>>,
    mode: watch::Sender<Mode>,
    /// Callers that wait for an answer.
    waiting: AtomicUsize,
    behind: String,
    http: reqwest::Client,
}

impl Tap {
    /// Listens in front of the sandbox at `behind`; the address to register is returned beside it.
    pub(super) fn start(behind: String, lifecycle: &Lifecycle) -> (Arc<Self>, String) {
        let tap = Arc::new(Self {
            heard: Mutex::default(),
            mode: watch::Sender::new(Mode::Open),
            waiting: AtomicUsize::new(0),
            behind,
            http: reqwest::Client::builder()
                .no_proxy()
                .build()
                .expect("a client is built"),
        });
        let data = Data::from(Arc::clone(&tap));
        let server = Server::build(&loopback(), "tap", vec![], move |config| {
            config.app_data(data.clone()).route("/hook", web::post().to(hear));
        });
        let server = server.expect("a free port is there");
        let url = format!("{}/hook", server.url());
        lifecycle.spawn("tap", server.run(lifecycle.stop()));
        (tap, url)
    }

    /// Everything that came, in the order in which it came.
    #[must_use]
    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The webhooks about one request.
    #[must_use]
    pub fn about(&self, request: &str) -> Vec<Heard> {
        let mut heard = self.heard();
        heard.retain(|heard| heard.json()["data"]["request"] == request);
        heard
    }

    /// From now on it answers 503.
    pub fn go_down(&self) {
        self.mode.send_replace(Mode::Down);
    }

    /// From now on it does not answer.
    pub fn hold(&self) {
        self.mode.send_replace(Mode::Held);
    }

    /// How many callers wait for an answer now.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// From now on, and for those that wait, it hands on.
    pub fn open(&self) {
        self.mode.send_replace(Mode::Open);
    }

    /// An answer, once there is to be one.
    async fn answer(&self, heard: Heard) -> HttpResponse {
        let mut mode = self.mode.subscribe();
        let opened = mode.wait_for(|mode| *mode != Mode::Held).await.map(|mode| *mode);
        match opened {
            Ok(Mode::Open) => self.pass(heard).await,
            _ => HttpResponse::ServiceUnavailable().finish(),
        }
    }

    async fn pass(&self, heard: Heard) -> HttpResponse {
        let mut request = self.http.post(&self.behind).body(heard.body);
        for (name, value) in heard
            .headers
            .iter()
            .filter(|(name, _)| name != "host" && name != "content-length")
        {
            request = request.header(name, value);
        }
        let Ok(answer) = request.send().await else {
            return HttpResponse::BadGateway().finish();
        };
        let status = answer.status().as_u16();
        let mut response = HttpResponse::build(status.try_into().expect("a status is a status"));
        if let Some(kind) = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()) {
            response.content_type(kind);
        }
        response.body(answer.bytes().await.unwrap_or_default())
    }
}

async fn hear(request: HttpRequest, body: Bytes, tap: Data<Tap>) -> HttpResponse {
    let tap = tap.into_inner();
    let text = |value: &actix_web::http::header::HeaderValue| value.to_str().unwrap_or_default().to_owned();
    let headers = request
        .headers()
        .iter()
        .map(|(name, value)| (name.as_str().to_owned(), text(value)));
    let heard = Heard {
        headers: headers.collect(),
        body: body.to_vec(),
    };
    tap.heard
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .push(heard.clone());
    let _waits = Waits::begin(Arc::clone(&tap));
    // Whoever hangs up leaves the business at work, as a real one would be.
    let work = actix_web::rt::spawn(async move { tap.answer(heard).await });
    work.await.unwrap_or_else(|_| HttpResponse::BadGateway().finish())
}

/// A caller that waits, as long as this is there: until it is answered or has hung up.
struct Waits(Arc<Tap>);

impl Waits {
    fn begin(tap: Arc<Tap>) -> Self {
        tap.waiting.fetch_add(1, Ordering::Relaxed);
        Self(tap)
    }
}

impl Drop for Waits {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A free port of the loopback, with one worker: there are many of these in a test binary.
pub(crate) fn loopback() -> Http {
    Http {
        listen: SocketAddr::from(([127, 0, 0, 1], 0)),
        workers: Some(1),
        ..Http::default()
    }
}
