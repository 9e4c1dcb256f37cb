//! The propagation of traces between tasks and programs: the header `traceparent` of W3C Trace Context, level 1, §3.2.

use std::collections::HashMap;

use opentelemetry::{
    Context, Value,
    propagation::TextMapPropagator as _,
    trace::{SpanContext, Status, TraceContextExt as _},
};
use opentelemetry_sdk::propagation::TraceContextPropagator;
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt as _;

use super::unexported_traces;

/// The name of the header.
const HEADER: &str = "traceparent";

/// A position in a trace: a `traceparent`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceParent(String);

impl TraceParent {
    /// The position of the present span, if it belongs to a trace.
    pub fn of_present_span() -> Option<Self> {
        let mut carrier = HashMap::new();
        let context = Context::new().with_remote_span_context(context_of(&Span::current())?);
        TraceContextPropagator::new().inject_context(&context, &mut carrier);
        carrier.remove(HEADER).map(Self)
    }

    /// Takes a text unchecked; [`TraceParent::adopt`] ignores one that is no `traceparent`.
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The value of the header.
    pub fn into_text(self) -> String {
        self.0
    }

    /// Makes a span, which must not have been entered yet, a child of this position.
    pub fn adopt(self, span: &Span) {
        let carrier = HashMap::from([(HEADER.to_owned(), self.0)]);
        let context = TraceContextPropagator::new().extract(&carrier);
        let remote = context.span().span_context().clone();
        // Where traces are not exported, no exporter takes it.
        if span.set_parent(context).is_err() && remote.is_valid() {
            unexported_traces::enter(span, remote);
        }
    }
}

/// Records the trace of a span in its field `trace_id`, for the log. A span without a trace begins a new one.
pub fn record_trace_id(span: &Span) {
    let context = context_of(span).unwrap_or_else(|| {
        let context = unexported_traces::new();
        unexported_traces::enter(span, context.clone());
        context
    });
    span.record("trace_id", tracing::field::display(context.trace_id()));
}

/// The position of a span in its trace.
fn context_of(span: &Span) -> Option<SpanContext> {
    let exported = span.context().span().span_context().clone();
    if exported.is_valid() {
        return Some(exported);
    }
    unexported_traces::context_of(span)
}

/// Adds an attribute to an exported span. It does not appear in the log.
pub fn export_attribute(span: &Span, name: &'static str, value: impl Into<Value>) {
    span.set_attribute(name, value);
}

/// Marks an exported span as failed.
pub fn export_failure(span: &Span) {
    span.set_status(Status::error(""));
}
