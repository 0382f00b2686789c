//! What a process says about itself: its log, its traces, its figures.
//!
//! The log goes to standard error, as text for people or as JSON for machines. Spans always carry a W3C trace
//! context, so that a piece of work can be followed through every process; they are recorded and sent (OTLP over
//! HTTP, together with the figures of [`metrics`]) only when an endpoint is configured.
//! Two traps shape this module. The exporters use a *blocking* HTTP client on threads of their own, and must be
//! built on one: an async client has no reactor there and would lose every span silently. And exporting is itself
//! work that logs, so the targets of that machinery are kept out of the traces.

use std::io::{self, IsTerminal as _};
use std::time::Duration;

use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::metrics::PeriodicReader;
use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
use schemars::JsonSchema;
use serde::Deserialize;
use tracing::Subscriber;
use tracing_subscriber::filter::{EnvFilter, LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, fmt};

use crate::metrics;

/// A collector that doesn't answer may not hold up the end of the process for longer.
const FLUSH_WITHIN: Duration = Duration::from_secs(2);

/// The machinery that sends telemetry; its own words would be sent again and again.
const MACHINERY: [&str; 7] = [
    "opentelemetry",
    "opentelemetry_sdk",
    "opentelemetry_otlp",
    "hyper",
    "hyper_util",
    "reqwest",
    "h2",
];

/// How the log is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Format {
    /// For people; in colour on a terminal.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// Where the log, the traces and the figures go.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// How the log is written.
    pub format: Format,
    /// What is logged: a level, or `target=level` directives with commas between them.
    pub filter: String,
    /// Base URL of an OTLP/HTTP collector, such as `http://collector:4318`; unset, nothing is sent.
    pub otlp_endpoint: Option<String>,
    /// The share of new traces that are recorded and sent, from 0 to 1.
    pub sample_ratio: f64,
}

impl Default for Telemetry {
    fn default() -> Self {
        Self {
            format: Format::default(),
            filter: "info".to_owned(),
            otlp_endpoint: None,
            sample_ratio: 1.0,
        }
    }
}

/// Why telemetry could not start. One line each.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `filter` is not a list of directives.
    #[error("`telemetry.filter` is not a level or a list of `target=level` ({0}); `info` is a good start")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    /// `otlp_endpoint` can't be used.
    #[error("`telemetry.otlp_endpoint` can't be used ({0}); it is the base URL of an OTLP/HTTP collector")]
    Endpoint(String),
    /// A second call, or instruments were used before.
    #[error("telemetry was started twice, or too late; start it first thing and once")]
    Started,
}

/// Sends what was not sent yet when it goes. Keep it until the end of `main`.
#[derive(Debug)]
#[must_use = "telemetry ends when the guard goes"]
pub struct Guard {
    traces: SdkTracerProvider,
}

impl Drop for Guard {
    fn drop(&mut self) {
        // Failures were logged by the exporters.
        let _ = self.traces.shutdown_with_timeout(FLUSH_WITHIN);
        // The figures' flush knows no limit of its own.
        let (done, waiting) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            metrics::flush();
            done.send(())
        });
        let _ = waiting.recv_timeout(FLUSH_WITHIN);
    }
}

/// Starts the log, the traces and the figures of this process, which calls itself `service`. Once a process.
pub fn init(config: &Telemetry, service: &'static str) -> Result<Guard, TelemetryError> {
    let filter = EnvFilter::try_new(&config.filter)?;
    let traces = match &config.otlp_endpoint {
        Some(endpoint) => export(endpoint, config.sample_ratio, service)?,
        // Contexts are made and handed on, and nothing is recorded.
        None => SdkTracerProvider::builder().with_sampler(Sampler::AlwaysOff).build(),
    };
    let spans = tracing_opentelemetry::layer()
        .with_tracer(traces.tracer(service))
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false)
        .with_filter(work());
    tracing_subscriber::registry()
        .with(spans)
        .with(log(config.format).with_filter(filter))
        .try_init()
        .map_err(|_| TelemetryError::Started)?;
    Ok(Guard { traces })
}

/// What is traced: our work, and not the sending of what was traced.
fn work() -> Targets {
    let quiet = MACHINERY.map(|target| (target, LevelFilter::OFF));
    Targets::new().with_default(LevelFilter::INFO).with_targets(quiet)
}

fn log<S>(format: Format) -> Box<dyn Layer<S> + Send + Sync>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    match format {
        Format::Text => {
            let colour = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
            fmt::layer().with_writer(io::stderr).with_ansi(colour).boxed()
        }
        Format::Json => fmt::layer().json().flatten_event(true).with_writer(io::stderr).boxed(),
    }
}

fn export(endpoint: &str, ratio: f64, service: &'static str) -> Result<SdkTracerProvider, TelemetryError> {
    let base = endpoint.trim_end_matches('/').to_owned();
    let exporters = move || -> Result<_, opentelemetry_otlp::ExporterBuildError> {
        let spans = SpanExporter::builder()
            .with_http()
            .with_endpoint(format!("{base}/v1/traces"));
        let figures = MetricExporter::builder()
            .with_http()
            .with_endpoint(format!("{base}/v1/metrics"));
        Ok((spans.build()?, figures.build()?))
    };
    let built = std::thread::spawn(exporters).join();
    let (spans, figures) = built
        .map_err(|_| TelemetryError::Endpoint("the exporter panicked".to_owned()))?
        .map_err(|error| TelemetryError::Endpoint(error.to_string()))?;
    metrics::export(PeriodicReader::builder(figures).build())
        .map_err(|metrics::AlreadyLive| TelemetryError::Started)?;
    let sampler = Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(ratio)));
    let resource = Resource::builder().with_service_name(service).build();
    let provider = SdkTracerProvider::builder().with_batch_exporter(spans);
    Ok(provider.with_sampler(sampler).with_resource(resource).build())
}
