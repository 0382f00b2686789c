//! What orchestrators ask: `/healthz` (the process answers), `/readyz` (it can do its work durably), `/metrics`.
//!
//! Readiness asks each [`Check`] anew, all at once, each within two seconds. The answer names the checks that
//! failed; why they failed is in the log, because an error's text may hold an address or worse.

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpResponse;
use actix_web::web::{self, Data, ServiceConfig};
use futures_util::future::join_all;
use tracing::warn;

use crate::{metrics, problem};

/// Shorter than the time-outs that orchestrators allow; a dependency that takes longer is not there.
const CHECK_WITHIN: Duration = Duration::from_secs(2);

/// When a caller that was told 503 should ask again.
const ASK_AGAIN: Duration = Duration::from_secs(5);

/// Prometheus's text format.
const PROMETHEUS: &str = "text/plain; version=0.0.4; charset=utf-8";

type Probe = dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync;

/// One thing that must work before the process can do its work.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    probe: Arc<Probe>,
}

impl Check {
    /// A check under the name that `/readyz` shows.
    pub fn new<F, R, E>(name: &'static str, probe: F) -> Self
    where
        F: Fn() -> R + Send + Sync + 'static,
        R: Future<Output = Result<(), E>> + Send + 'static,
        E: Display,
    {
        let probe = move || -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> {
            let asked = probe();
            Box::pin(async move { asked.await.map_err(|error| error.to_string()) })
        };
        Self {
            name,
            probe: Arc::new(probe),
        }
    }

    /// Its name if it fails.
    async fn failure(&self) -> Option<&'static str> {
        let asked = tokio::time::timeout(CHECK_WITHIN, (self.probe)()).await;
        let error = match asked {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => error,
            Err(_) => "no answer in time".to_owned(),
        };
        warn!(check = self.name, %error, "not ready");
        Some(self.name)
    }
}

/// Adds the three addresses.
pub(super) fn routes(config: &mut ServiceConfig, checks: Arc<Vec<Check>>) {
    config
        .app_data(Data::from(checks))
        .route("/healthz", web::get().to(healthz))
        .route("/readyz", web::get().to(readyz))
        .route("/metrics", web::get().to(figures));
}

async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(serde_json::json!({ "status": "ok" }))
}

async fn figures() -> HttpResponse {
    HttpResponse::Ok()
        .content_type(PROMETHEUS)
        .body(metrics::prometheus_text())
}

async fn readyz(checks: Data<Vec<Check>>) -> HttpResponse {
    let asked = join_all(checks.iter().map(Check::failure)).await;
    let failed: Vec<&str> = asked.into_iter().flatten().collect();
    if failed.is_empty() {
        return HttpResponse::Ok().json(serde_json::json!({ "status": "ready" }));
    }
    let detail = format!("Failing: {}.", failed.join(", "));
    problem::NOT_READY.detail(detail).retry_after(ASK_AGAIN).response()
}
