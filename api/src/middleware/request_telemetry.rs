//! The metrics, the span and the identifier of each request.

use std::{sync::Arc, time::Instant};

use media_shared::{
    metrics::{RequestGuard, figures},
    telemetry::{TraceParent, export_attribute, export_failure, record_trace_id},
};
use poem::{Endpoint, IntoResponse, Request, Response, Result, http::Method};
use tracing::{Instrument as _, Span, field::Empty};

use super::request_id::{self, RequestId};
use crate::routes::MatchedRoute;

/// The route, in metrics and spans, of requests that match none.
const NO_ROUTE: &str = "none";
/// The header that names the client's trace (W3C Trace Context, level 1, §3.2).
const TRACE_PARENT: &str = "traceparent";

/// Records the request and its answer.
pub(crate) async fn observe<E: Endpoint>(endpoint: Arc<E>, request: Request) -> Result<Response> {
    let begun = Instant::now();
    let matched = MatchedRoute::from_request(&request).clone();
    let route = matched.template().unwrap_or(NO_ROUTE);
    let method = method_name(request.method());
    let id = RequestId::from_headers(request.headers());
    let span = span(&request, method, route, &id);
    let in_progress = RequestGuard::begin();
    let answer = endpoint.call(request).instrument(span.clone()).await;
    drop(in_progress);
    let mut answer = answer.map_or_else(poem::Error::into_response, IntoResponse::into_response);
    let status = answer.status().as_u16();
    export_attribute(&span, "http.response.status_code", i64::from(status));
    if answer.status().is_server_error() {
        export_failure(&span);
    }
    figures().answered(method, route, status, begun.elapsed());
    answer
        .headers_mut()
        .insert(request_id::HEADER, id.into_header());
    Ok(answer)
}

/// Begins a span, in the client's trace if there is one. Its level is the highest, so that every log line of the
/// request belongs to the span at any log level.
fn span(request: &Request, method: &str, route: &str, id: &RequestId) -> Span {
    let span = tracing::error_span!(
        "request",
        otel.name = format_args!("{method} {route}"),
        otel.kind = "server",
        request_id = %id,
        trace_id = Empty,
        http.request.method = method,
        http.route = route,
    );
    if let Some(parent) = request.header(TRACE_PARENT) {
        TraceParent::from_text(parent).adopt(&span);
    }
    record_trace_id(&span);
    span
}

/// The method in metrics and spans. Unknown methods share a name, as clients could invent any number.
fn method_name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PATCH => "PATCH",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
