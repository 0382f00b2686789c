//! Figures that a process keeps about itself.
//!
//! An instrument is a `static` with a name and a sentence; it comes alive at its first use, whether or not
//! [`telemetry::init`](crate::telemetry::init) ran, so that libraries and tests need no set-up. All instruments
//! end in one pipeline: always Prometheus text for `/metrics`, and OTLP too if that was configured first.
//! Names are Prometheus names, unit included. Labels are few and bounded: a route's pattern, a channel, an
//! outcome; never an id, and never anything about a person.

use std::sync::OnceLock;

use opentelemetry::KeyValue;
use opentelemetry::metrics::{Meter, MeterProvider as _};
use opentelemetry_sdk::metrics::{PeriodicReader, SdkMeterProvider};
use prometheus::{Registry, TextEncoder};

/// Label names and values.
pub type Labels<'l> = &'l [(&'static str, &'l str)];

/// Upper bounds in seconds: a local call is around a millisecond, and half a minute is longer than any time-out
/// of ours.
const SECONDS: [f64; 14] = [
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

static PIPELINE: OnceLock<Pipeline> = OnceLock::new();

struct Pipeline {
    registry: Registry,
    provider: SdkMeterProvider,
    meter: Meter,
}

/// A figure that only grows.
pub struct Counter {
    name: &'static str,
    help: &'static str,
    live: OnceLock<opentelemetry::metrics::Counter<u64>>,
}

/// How values spread; for durations in seconds.
pub struct Histogram {
    name: &'static str,
    help: &'static str,
    live: OnceLock<opentelemetry::metrics::Histogram<f64>>,
}

/// A figure that goes up and down.
pub struct Gauge {
    name: &'static str,
    help: &'static str,
    live: OnceLock<opentelemetry::metrics::Gauge<f64>>,
}

impl Counter {
    /// `name` ends in `_total`.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        let live = OnceLock::new();
        Self { name, help, live }
    }

    /// Grows by `n`.
    pub fn add(&self, n: u64, labels: Labels<'_>) {
        let build = || meter().u64_counter(self.name).with_description(self.help).build();
        self.live.get_or_init(build).add(n, &attributes(labels));
    }
}

impl Histogram {
    /// `name` ends in `_seconds`.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        let live = OnceLock::new();
        Self { name, help, live }
    }

    /// Notes one duration.
    pub fn record(&self, seconds: f64, labels: Labels<'_>) {
        let build = || {
            let builder = meter().f64_histogram(self.name).with_description(self.help);
            builder.with_boundaries(SECONDS.to_vec()).build()
        };
        self.live.get_or_init(build).record(seconds, &attributes(labels));
    }
}

impl Gauge {
    /// `name` ends in its unit.
    #[must_use]
    pub const fn new(name: &'static str, help: &'static str) -> Self {
        let live = OnceLock::new();
        Self { name, help, live }
    }

    /// Says how it stands now.
    pub fn set(&self, value: f64, labels: Labels<'_>) {
        let build = || meter().f64_gauge(self.name).with_description(self.help).build();
        self.live.get_or_init(build).record(value, &attributes(labels));
    }
}

/// Everything that was noted so far, in Prometheus's text format 0.0.4.
#[must_use]
pub fn prometheus_text() -> String {
    let families = pipeline().registry.gather();
    let text = TextEncoder::new().encode_to_string(&families);
    text.expect("the pipeline makes only valid families")
}

/// Some instrument was used before the pipeline was configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AlreadyLive;

/// Adds an exporter to the pipeline; possible only before the first use of an instrument.
pub(crate) fn export(reader: PeriodicReader<opentelemetry_otlp::MetricExporter>) -> Result<(), AlreadyLive> {
    PIPELINE.set(build(Some(reader))).map_err(|_| AlreadyLive)
}

/// Sends what was not sent yet.
pub(crate) fn flush() {
    if let Some(pipeline) = PIPELINE.get() {
        // The reader has told the log why, if it failed.
        let _ = pipeline.provider.force_flush();
    }
}

fn pipeline() -> &'static Pipeline {
    PIPELINE.get_or_init(|| build(None))
}

fn meter() -> &'static Meter {
    &pipeline().meter
}

fn build(otlp: Option<PeriodicReader<opentelemetry_otlp::MetricExporter>>) -> Pipeline {
    let registry = Registry::new();
    let prometheus = opentelemetry_prometheus::exporter()
        .with_registry(registry.clone())
        .without_counter_suffixes()
        .without_units()
        .without_target_info()
        .scope_info_enabled(false)
        .build()
        .expect("a new registry takes its first collector");
    let mut builder = SdkMeterProvider::builder().with_reader(prometheus);
    if let Some(reader) = otlp {
        builder = builder.with_reader(reader);
    }
    let provider = builder.build();
    let meter = provider.meter("platform");
    Pipeline {
        registry,
        provider,
        meter,
    }
}

fn attributes(labels: Labels<'_>) -> Vec<KeyValue> {
    labels
        .iter()
        .map(|(name, value)| KeyValue::new(*name, (*value).to_owned()))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instruments_live_without_set_up_under_their_own_names() {
        static TRIED: Counter = Counter::new("test_tried_total", "How often it was tried.");
        static AGAIN: Counter = Counter::new("test_tried_total", "How often it was tried.");
        static TOOK: Histogram = Histogram::new("test_took_seconds", "How long it took.");
        static OPEN: Gauge = Gauge::new("test_open", "How many are open.");
        TRIED.add(2, &[("door", "a")]);
        AGAIN.add(3, &[("door", "a")]);
        TOOK.record(0.2, &[]);
        OPEN.set(7.0, &[]);
        OPEN.set(4.0, &[]);

        let text = prometheus_text();
        for line in [
            "# HELP test_tried_total How often it was tried.",
            "test_tried_total{door=\"a\"} 5",
            "test_took_seconds_bucket{le=\"0.25\"} 1",
            "test_took_seconds_bucket{le=\"0.1\"} 0",
            "test_open 4",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is missing in\n{text}");
        }
    }
}
