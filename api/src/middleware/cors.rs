//! The CORS protocol (Fetch standard §3.2): allows pages of listed origins to use the API.
//!
//! The framework's middleware rejects every request that names another origin, even those of the service's own pages.
//! This one answers them, and the browser withholds the answer from the page.

use std::sync::Arc;

use media_services::config::CorsOrigins;
use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::{HeaderMap, HeaderValue, Method, StatusCode, header},
};

const METHODS: HeaderValue = HeaderValue::from_static("DELETE, GET, HEAD, PATCH, POST, PUT");
const REQUEST_HEADERS: HeaderValue = HeaderValue::from_static(
    "authorization, content-digest, content-disposition, content-type, if-match, if-modified-since, if-none-match, \
     if-range, if-unmodified-since, last-event-id, prefer, range, repr-digest, traceparent, x-request-id",
);
const ANSWER_HEADERS: HeaderValue = HeaderValue::from_static(
    "accept-ranges, content-disposition, content-length, content-range, etag, location, \
     ratelimit-limit, ratelimit-remaining, ratelimit-reset, repr-digest, retry-after, x-media-filename, \
     x-media-size, x-request-id",
);
/// How long a browser may cache the answer to a preflight, in seconds: two hours, Chromium's maximum.
const MAX_AGE: HeaderValue = HeaderValue::from_static("7200");

/// Allows pages of the listed origins to use the API.
pub(crate) async fn allow_origins<E: Endpoint>(
    endpoint: Arc<E>,
    request: Request,
    origins: Arc<CorsOrigins>,
) -> Result<Response> {
    if *origins == CorsOrigins::Listed(Vec::new()) {
        return Ok(endpoint.call(request).await?.into_response());
    }
    let origin = request.headers().get(header::ORIGIN);
    let allowed = origin
        .filter(|origin| origin.to_str().is_ok_and(|text| origins.allow(text)))
        .cloned();
    let mut response = match &allowed {
        Some(_) if is_preflight(&request) => preflight(),
        _ => endpoint.call(request).await?.into_response(),
    };
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("Origin"));
    if let Some(origin) = allowed {
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, ANSWER_HEADERS);
    }
    Ok(response)
}

fn is_preflight(request: &Request) -> bool {
    *request.method() == Method::OPTIONS
        && request
            .headers()
            .contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

fn preflight() -> Response {
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, REQUEST_HEADERS);
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    let mut response = StatusCode::NO_CONTENT.into_response();
    *response.headers_mut() = headers;
    response
}
