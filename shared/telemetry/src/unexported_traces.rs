//! Traces that are not exported. Their ids still appear in the log and in jobs.

use opentelemetry::trace::{SpanContext, SpanId, TraceFlags, TraceId, TraceState};
use tracing::Span;
use tracing_subscriber::{Registry, registry::LookupSpan as _};

/// The position of a span, or of its nearest ancestor that has one.
pub(super) fn context_of(span: &Span) -> Option<SpanContext> {
    let found = span.with_subscriber(|(id, subscriber)| {
        let span = subscriber.downcast_ref::<Registry>()?.span(id)?;
        span.scope()
            .find_map(|span| span.extensions().get::<SpanContext>().cloned())
    });
    found.flatten()
}

/// Puts a span, and all beneath it, into a trace.
pub(super) fn enter(span: &Span, context: SpanContext) {
    span.with_subscriber(|(id, subscriber)| {
        let registry = subscriber.downcast_ref::<Registry>()?;
        registry.span(id)?.extensions_mut().replace(context)
    });
}

/// The beginning of a new trace that is not recorded.
pub(super) fn new() -> SpanContext {
    SpanContext::new(
        TraceId::from_bytes(rand::random()),
        SpanId::from_bytes(rand::random()),
        TraceFlags::NOT_SAMPLED,
        false,
        TraceState::NONE,
    )
}

#[cfg(test)]
mod tests {
    use tracing::{field::Empty, info_span};

    use crate::{TraceParent, record_trace_id};

    const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    fn trace_here() -> Option<String> {
        let text = TraceParent::of_present_span()?.into_text();
        text.split('-').nth(1).map(str::to_owned)
    }

    #[test]
    fn a_trace_goes_on_beneath_its_span_and_nowhere_else() {
        tracing::subscriber::with_default(tracing_subscriber::registry(), || {
            assert_eq!(trace_here(), None);
            let [first, second] = [(); 2].map(|()| info_span!("request", trace_id = Empty));
            record_trace_id(&first);
            record_trace_id(&second);
            let traces = [&first, &second].map(|span| {
                let trace = span.in_scope(trace_here).unwrap();
                let part = span.in_scope(|| info_span!("part").in_scope(trace_here));
                assert_eq!(part.as_ref(), Some(&trace));
                trace
            });
            assert_ne!(traces[0], traces[1]);
            assert_eq!(trace_here(), None);

            let adopted = info_span!("attempt", trace_id = Empty);
            TraceParent::from_text(PARENT).adopt(&adopted);
            record_trace_id(&adopted);
            let present = adopted.in_scope(TraceParent::of_present_span);
            assert_eq!(present, Some(TraceParent::from_text(PARENT)));

            let wrong = info_span!("attempt", trace_id = Empty);
            TraceParent::from_text("no parent").adopt(&wrong);
            assert_eq!(wrong.in_scope(trace_here), None);
            record_trace_id(&wrong);
            assert!(wrong.in_scope(trace_here).is_some());
        });
    }
}
