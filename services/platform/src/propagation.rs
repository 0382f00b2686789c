//! Trace context across processes (W3C Trace Context).
//!
//! Whoever hands work on sends [`current`] along as headers; whoever takes it up calls [`adopt`] on the span of
//! that work, or [`link`] when one span serves many messages. Only `traceparent` and `tracestate` travel: baggage
//! would leave the house with whatever someone put into it.

use std::collections::HashMap;

use opentelemetry::Context;
use opentelemetry::propagation::{Extractor, TextMapPropagator as _};
use opentelemetry::trace::TraceContextExt as _;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The two headers of the recommendation.
pub const HEADERS: [&str; 2] = ["traceparent", "tracestate"];

/// The headers that carry the current span's trace; none outside a trace.
#[must_use]
pub fn current() -> Vec<(String, String)> {
    let mut headers = HashMap::new();
    TraceContextPropagator::new().inject_context(&Span::current().context(), &mut headers);
    headers.retain(|_, value: &mut String| !value.is_empty());
    headers.into_iter().collect()
}

/// Makes `span` a child of the trace that the headers carry, and notes the trace's id in its field `trace_id`.
/// Without such headers (other names are ignored) the span begins its own trace.
/// To be called before the span is entered.
pub fn adopt<'h>(span: &Span, headers: impl IntoIterator<Item = (&'h str, &'h str)>) {
    let context = extract(headers);
    if context.has_active_span() {
        // It fails if no tracer is set up; then there is nothing to join.
        let _ = span.set_parent(context);
    }
    let trace = span.context().span().span_context().trace_id();
    if trace != opentelemetry::trace::TraceId::INVALID {
        span.record("trace_id", tracing::field::display(trace));
    }
}

/// Says that `span` also works for the trace that the headers carry.
pub fn link<'h>(span: &Span, headers: impl IntoIterator<Item = (&'h str, &'h str)>) {
    let context = extract(headers);
    if context.has_active_span() {
        span.add_link(context.span().span_context().clone());
    }
}

fn extract<'h>(headers: impl IntoIterator<Item = (&'h str, &'h str)>) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Pairs(headers.into_iter().collect()))
}

struct Pairs<'h>(Vec<(&'h str, &'h str)>);

impl Extractor for Pairs<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        let found = self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(key));
        found.map(|(_, value)| *value)
    }

    fn keys(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| *name).collect()
    }
}

#[cfg(test)]
mod tests {
    use opentelemetry::trace::TracerProvider as _;
    use opentelemetry_sdk::trace::SdkTracerProvider;
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn traced(test: impl FnOnce()) {
        let tracer = SdkTracerProvider::builder().build().tracer("test");
        with_default(
            tracing_subscriber::registry().with(tracing_opentelemetry::layer().with_tracer(tracer)),
            test,
        );
    }

    fn traceparent() -> Option<String> {
        let (_, value) = current().into_iter().find(|(name, _)| name == "traceparent")?;
        Some(value)
    }

    #[test]
    fn a_trace_goes_on_across_processes() {
        traced(|| {
            let span = tracing::info_span!("work", trace_id = tracing::field::Empty);
            adopt(&span, [("TraceParent", PARENT), ("baggage", "who=me")]);
            let _entered = span.enter();
            let child = tracing::info_span!("child").in_scope(traceparent).unwrap();
            assert_eq!(child[..35], PARENT[..35], "the same trace");
            assert_ne!(child[36..52], PARENT[36..52], "another span");
            assert!(
                !current()
                    .iter()
                    .any(|(name, value)| name == "baggage" || value.is_empty())
            );
        });
    }

    #[test]
    fn strange_headers_begin_a_new_trace() {
        traced(|| {
            for strange in ["", "00-00000000000000000000000000000000-0000000000000000-01", "x"] {
                let span = tracing::info_span!("work");
                adopt(&span, [("traceparent", strange)]);
                assert_ne!(span.in_scope(traceparent).unwrap()[..35], PARENT[..35]);
            }
        });
        assert_eq!(current(), []);
    }
}
