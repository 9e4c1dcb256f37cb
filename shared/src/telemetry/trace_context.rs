//! How a trace goes on in another task or program: the header `traceparent` of W3C Trace Context,
//! level 1, §3.2.

use std::collections::HashMap;

use opentelemetry::{propagation::TextMapPropagator as _, trace::TraceContextExt as _};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

/// The name of the header.
const HEADER: &str = "traceparent";

/// Where something belongs in a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(String);

impl TraceParent {
    /// The present span, if it belongs to a trace.
    pub fn of_present_span() -> Option<Self> {
        let mut carrier = HashMap::new();
        let context = Span::current().context();
        TraceContextPropagator::new().inject_context(&context, &mut carrier);
        carrier.remove(HEADER).map(Self)
    }

    /// Takes a text for what it says it is; nothing comes of it if it is no `traceparent`.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The value of the header.
    pub fn into_text(self) -> String {
        self.0
    }

    /// Makes a span a part of the trace; one that has not been entered.
    pub fn adopt(self, span: &Span) {
        let carrier = HashMap::from([(HEADER.to_owned(), self.0)]);
        let context = TraceContextPropagator::new().extract(&carrier);
        // Fails where traces are not exported.
        let _ = span.set_parent(context);
    }
}

/// Writes the trace of a span into its field `trace_id`, for the lines of log.
pub fn record_trace_id(span: &Span) {
    let context = span.context();
    let known = context.span().span_context().clone();
    if known.is_valid() {
        span.record("trace_id", tracing::field::display(known.trace_id()));
    }
}
