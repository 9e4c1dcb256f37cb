//! What is seen of each request from outside: its figures, its span, its name.

use std::{sync::Arc, time::Instant};

use media_shared::{
    metrics::{RequestGuard, figures},
    telemetry::{TraceParent, export_attribute, export_failure, record_trace_id},
};
use poem::{Endpoint, IntoResponse, Request, Response, Result, http::Method};
use tracing::{Instrument as _, Span, field::Empty};

use crate::{
    operation_paths::OperationPaths,
    request_id::{self, RequestId},
};

/// What stands for the route of a path that no route fits.
const NO_ROUTE: &str = "none";
/// Where a client says which trace its request belongs to (W3C Trace Context, level 1, §3.2).
const TRACE_PARENT: &str = "traceparent";

/// Answers, and notes the request and its answer.
pub(crate) async fn observe<E: Endpoint>(
    endpoint: Arc<E>,
    request: Request,
    paths: OperationPaths,
) -> Result<Response> {
    let begun = Instant::now();
    let path = request.uri().path();
    let route = paths.template_of(path).or_else(|| document(path));
    let route = route.unwrap_or(NO_ROUTE).to_owned();
    let method = known(request.method());
    let id = RequestId::of(request.headers());
    let span = span(&request, method, &route, &id);
    let under_way = RequestGuard::begin();
    let answer = endpoint.call(request).instrument(span.clone()).await;
    drop(under_way);
    let mut answer = answer.map_or_else(poem::Error::into_response, IntoResponse::into_response);
    let status = answer.status().as_u16();
    export_attribute(&span, "http.response.status_code", i64::from(status));
    if answer.status().is_server_error() {
        export_failure(&span);
    }
    figures().answered(method, &route, status, begun.elapsed());
    answer
        .headers_mut()
        .insert(request_id::HEADER, id.into_header());
    Ok(answer)
}

/// A part of the client's trace, if it has one. Of the most urgent level, so that no line is without
/// the request that it is about.
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

/// The route of a page that describes the API.
fn document(path: &str) -> Option<&'static str> {
    ["/docs", "/openapi.json"]
        .into_iter()
        .find(|each| *each == path)
}

/// A method that routes know; clients may make up others.
fn known(method: &Method) -> &'static str {
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
