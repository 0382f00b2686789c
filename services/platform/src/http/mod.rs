//! The HTTP plumbing that every service shares.
//!
//! [`Server::build`] binds and reports its address, so that a test may ask for port 0; [`Server::run`] serves
//! until the stop. Every request passes one middleware: a span under the *route's pattern* (a raw path or query may
//! hold a token), the caller's trace context and request id, figures, and a problem document for what the framework
//! refuses by itself. Probes answer `/healthz`, `/readyz` and `/metrics`.
//! Stopping: no new connections, then the requests in hand are finished, or cut at the hard stop; the lifecycle
//! alone listens to signals.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::{ServiceFactory, ServiceRequest, ServiceResponse};
use actix_web::http::header::AUTHORIZATION;
use actix_web::middleware::from_fn;
use actix_web::web::{self, PayloadConfig, ServiceConfig};
use actix_web::{App, Error, HttpRequest, HttpResponse, HttpServer};
use schemars::JsonSchema;
use serde::Deserialize;
use tracing::info;

pub use self::pages::Pages;
pub use self::probe::Check;
pub use self::root::RequestId;
use crate::lifecycle::Stop;
use crate::problem;
use crate::secret::Secret;

mod pages;
mod probe;
mod root;

/// A slow or silent client may hold a connection this long before the head of its request is complete.
const HEAD_WITHIN: Duration = Duration::from_secs(5);

/// Longer than the 60 s that load balancers keep an idle connection, so that it is they who close it.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// Connections of one worker; beyond them the kernel's queue holds the rest.
const CONNECTIONS: usize = 10_000;

/// Connections that the kernel keeps for us while all workers are busy: a burst of senders fits.
const BACKLOG: u32 = 1_024;

/// Never reached: the lifecycle's hard stop comes first.
const SHUTDOWN_SECONDS: u64 = 60;

/// A token in a header: ours have 43 characters; what is far longer is no token.
const BEARER_MAX: usize = 4_096;

/// How a service listens.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Http {
    /// Address and port; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Threads that serve; unset, one for each core.
    #[serde(deserialize_with = "crate::config::positive_if_said")]
    #[schemars(range(min = 1))]
    pub workers: Option<usize>,
    /// The largest body that is read, in bytes.
    #[serde(deserialize_with = "crate::config::positive")]
    #[schemars(range(min = 1))]
    pub body_max_bytes: usize,
    /// A socket that is bound to `listen` already; no configuration says it.
    #[serde(skip)]
    pub bound: Option<Arc<TcpListener>>,
}

impl Http {
    /// On a free port of this machine that nobody else can take any more: for addresses that have to be known before
    /// the service is built.
    pub fn on_free_port() -> io::Result<Self> {
        let bound = TcpListener::bind("127.0.0.1:0")?;
        Ok(Self {
            listen: bound.local_addr()?,
            bound: Some(Arc::new(bound)),
            ..Self::default()
        })
    }
}

impl Default for Http {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            workers: None,
            // Channels send batches of up to 3 MB.
            body_max_bytes: 4 * 1024 * 1024,
            bound: None,
        }
    }
}

/// Why a server could not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {listen} ({source}); free the address or choose another in `listen`")]
pub struct BindError {
    listen: SocketAddr,
    source: io::Error,
}

/// A server that is bound and not yet running.
pub struct Server {
    addr: SocketAddr,
    server: actix_web::dev::Server,
}

impl Server {
    /// Binds. `configure` adds the service's routes, once on each worker; `checks` decide about `/readyz`.
    pub fn build<F>(config: &Http, name: &'static str, checks: Vec<Check>, configure: F) -> Result<Self, BindError>
    where
        F: Fn(&mut ServiceConfig) + Clone + Send + 'static,
    {
        let (body_max_bytes, checks) = (config.body_max_bytes, Arc::new(checks));
        let server = HttpServer::new(move || app(body_max_bytes, Arc::clone(&checks), configure.clone()))
            .disable_signals()
            .shutdown_timeout(SHUTDOWN_SECONDS)
            .client_request_timeout(HEAD_WITHIN)
            .keep_alive(KEEP_ALIVE)
            .max_connections(CONNECTIONS)
            .backlog(BACKLOG)
            .tcp_nodelay(true);
        let server = match config.workers {
            Some(workers) => server.workers(workers),
            None => server,
        };
        let server = match &config.bound {
            Some(bound) => bound.try_clone().and_then(|bound| server.listen(bound)),
            None => server.bind(config.listen),
        };
        let server = server.map_err(|source| BindError {
            listen: config.listen,
            source,
        })?;
        let addr = server.addrs().first().copied().unwrap_or(config.listen);
        info!(service = name, %addr, "listening");
        let server = server.run();
        Ok(Self { addr, server })
    }

    /// Where it listens, with the real port.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// `http://` and the address, for whoever calls it on this machine.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Serves until the stop.
    pub async fn run(self, stop: Stop) -> io::Result<()> {
        let handle = self.server.handle();
        let mut server = pin!(self.server);
        tokio::select! {
            ended = &mut server => return ended,
            () = stop.soft() => {}
        }
        let graceful = handle.stop(true);
        tokio::select! {
            ended = &mut server => return ended,
            () = stop.hard() => {}
        }
        drop(graceful);
        drop(handle.stop(false));
        server.await
    }
}

/// What one worker serves.
fn app(
    body_max_bytes: usize,
    checks: Arc<Vec<Check>>,
    configure: impl FnOnce(&mut ServiceConfig),
) -> App<impl ServiceFactory<ServiceRequest, Config = (), Response = ServiceResponse, Error = Error, InitError = ()>> {
    App::new()
        .app_data(PayloadConfig::new(body_max_bytes))
        .app_data(web::JsonConfig::default().limit(body_max_bytes))
        .app_data(web::FormConfig::default().limit(body_max_bytes))
        .default_service(web::to(unrouted))
        .configure(|config| probe::routes(config, checks))
        .route("/problems/{name}", web::get().to(pages::page))
        .configure(configure)
        .wrap(from_fn(root::pass))
}

/// No route took the request: either the address doesn't exist, or it doesn't know the method.
async fn unrouted(request: HttpRequest) -> HttpResponse {
    match request.match_pattern() {
        Some(_) => problem::METHOD.response(),
        None => problem::NOT_FOUND.response(),
    }
}

/// The bearer token of a request (RFC 6750 §2.1), if it has exactly one.
#[must_use]
pub fn bearer(request: &HttpRequest) -> Option<Secret> {
    let mut headers = request.headers().get_all(AUTHORIZATION);
    let (header, None) = (headers.next()?, headers.next()) else {
        return None;
    };
    let (scheme, token) = header.to_str().ok()?.split_once(' ')?;
    let token = token.trim();
    let fits = scheme.eq_ignore_ascii_case("bearer") && !token.is_empty() && token.len() <= BEARER_MAX;
    fits.then(|| Secret::new(token))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Instant;

    use actix_web::web::Bytes;
    use serde_json::Value;

    use super::*;
    use crate::lifecycle::{Ended, Lifecycle};

    fn config() -> Http {
        Http {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            workers: Some(1),
            body_max_bytes: 16,
            ..Http::default()
        }
    }

    fn start(checks: Vec<Check>) -> (Lifecycle, String) {
        let server = Server::build(&config(), "test", checks, |config| {
            config
                .route(
                    "/echo",
                    web::post().to(|body: Bytes| async move { HttpResponse::Ok().body(body) }),
                )
                .route("/slow", web::get().to(slow))
                .route("/status/{token}", web::get().to(HttpResponse::Ok));
        });
        let server = server.unwrap();
        let (lifecycle, url) = (Lifecycle::new(), server.url());
        lifecycle.spawn("http", server.run(lifecycle.stop()));
        (lifecycle, url)
    }

    async fn slow() -> HttpResponse {
        tokio::time::sleep(Duration::from_millis(300)).await;
        HttpResponse::Ok().body("done")
    }

    async fn problem(response: reqwest::Response) -> (u16, String) {
        assert_eq!(response.headers()["content-type"], problem::CONTENT_TYPE);
        assert!(response.headers().contains_key("x-request-id"));
        let body: Value = response.json().await.unwrap();
        (
            u16::try_from(body["status"].as_u64().unwrap()).unwrap(),
            body["type"].as_str().unwrap().to_owned(),
        )
    }

    #[tokio::test]
    async fn what_the_framework_refuses_gets_words() {
        let (lifecycle, url) = start(vec![]);
        let client = reqwest::Client::new();
        let get = |path: &str| client.get(format!("{url}{path}")).send();
        let post = |body: &'static str| client.post(format!("{url}/echo")).body(body).send();

        assert_eq!(
            problem(get("/secret-token").await.unwrap()).await,
            (404, "/problems/not-found".to_owned())
        );
        assert_eq!(
            problem(get("/echo").await.unwrap()).await,
            (405, "/problems/method-not-allowed".to_owned())
        );
        assert_eq!(
            problem(post("more than sixteen").await.unwrap()).await,
            (413, "/problems/too-large".to_owned())
        );
        assert_eq!(
            post("sixteen at most").await.unwrap().text().await.unwrap(),
            "sixteen at most"
        );
        assert_eq!(lifecycle.shut_down().await, Ended::Asked);
    }

    #[tokio::test]
    async fn readiness_names_what_fails_and_not_why() {
        let up = Arc::new(AtomicBool::new(false));
        let probe = Arc::clone(&up);
        let check = Check::new("database", move || {
            let up = probe.load(Ordering::Relaxed);
            async move { if up { Ok(()) } else { Err("password=hunter2") } }
        });
        let (lifecycle, url) = start(vec![check]);

        let answer = reqwest::get(format!("{url}/readyz")).await.unwrap();
        assert_eq!(answer.status(), 503);
        let words = answer.text().await.unwrap();
        assert!(words.contains("database") && !words.contains("hunter2"), "{words}");
        up.store(true, Ordering::Relaxed);
        assert_eq!(reqwest::get(format!("{url}/readyz")).await.unwrap().status(), 200);
        lifecycle.shut_down().await;
    }

    #[tokio::test]
    async fn a_stop_finishes_what_is_in_hand_and_leaves_idle_connections() {
        let (lifecycle, url) = start(vec![]);
        let client = reqwest::Client::new();
        client
            .get(format!("{url}/healthz"))
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        let request = tokio::spawn(client.get(format!("{url}/slow")).send());
        tokio::time::sleep(Duration::from_millis(100)).await;

        let start = Instant::now();
        assert_eq!(lifecycle.shut_down().await, Ended::Asked);
        assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
        assert_eq!(request.await.unwrap().unwrap().text().await.unwrap(), "done");
        assert!(client.get(format!("{url}/healthz")).send().await.is_err());
    }

    #[tokio::test]
    async fn figures_know_the_pattern_and_never_the_path() {
        let (lifecycle, url) = start(vec![]);
        let status = reqwest::get(format!("{url}/status/token-1234?mail=a@example.org"))
            .await
            .unwrap();
        assert_eq!(status.status(), 200);
        reqwest::get(format!("{url}/nowhere-1234")).await.unwrap();
        let text = reqwest::get(format!("{url}/metrics"))
            .await
            .unwrap()
            .text()
            .await
            .unwrap();
        assert!(text.contains("route=\"/status/{token}\""), "{text}");
        assert!(text.contains("route=\"unmatched\""), "{text}");
        assert!(!text.contains("1234") && !text.contains("example.org"), "{text}");
        lifecycle.shut_down().await;
    }

    #[test]
    fn only_a_single_bearer_header_is_a_token() {
        let token = |values: &[&str]| {
            let mut request = actix_web::test::TestRequest::default();
            for value in values {
                request = request.append_header((AUTHORIZATION, *value));
            }
            bearer(&request.to_http_request()).map(|token| token.expose().to_owned())
        };
        assert_eq!(token(&["Bearer abc"]).as_deref(), Some("abc"));
        assert_eq!(token(&["bearer  abc "]).as_deref(), Some("abc"));
        for wrong in [
            &[][..],
            &["Bearer "],
            &["abc"],
            &["Basic abc"],
            &["Bearer a", "Bearer b"],
        ] {
            assert_eq!(token(wrong), None, "{wrong:?}");
        }
    }
}
