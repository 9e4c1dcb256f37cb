//! Headers that tell browsers and caches how to treat an answer.

use std::sync::Arc;

use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::{HeaderName, HeaderValue, header},
};

use crate::routes::{BrowserPolicy, MatchedRoute};

/// The policy of pages: their scripts and styles are inline, and they connect only to this service.
const PAGE_POLICY: HeaderValue = HeaderValue::from_static(
    "default-src 'self' 'unsafe-inline' data:; frame-ancestors 'none'; base-uri 'none'; object-src 'none'",
);
/// The policy of data: browsers run nothing in it, and no page frames it.
const POLICY: HeaderValue =
    HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'; sandbox");
/// The caching of an answer without `Cache-Control`.
const CACHE: HeaderValue = HeaderValue::from_static("no-store");

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Adds the headers that the answer does not have. Pages of other sites may embed media if callers are authenticated
/// (`guarded`): they can only load public media and signed links.
pub(crate) async fn add_security_headers<E: Endpoint>(
    endpoint: Arc<E>,
    request: Request,
    guarded: bool,
) -> Result<Response> {
    let policy = MatchedRoute::from_request(&request).policy();
    let content_policy = match policy {
        BrowserPolicy::Page => PAGE_POLICY,
        BrowserPolicy::Data | BrowserPolicy::Media => POLICY,
    };
    let resource_policy = match policy {
        BrowserPolicy::Media if guarded => "cross-origin",
        _ => "same-origin",
    };
    let mut response = endpoint.call(request).await?.into_response();
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, content_policy),
        (header::CACHE_CONTROL, CACHE),
        (RESOURCE_POLICY, HeaderValue::from_static(resource_policy)),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
        (header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    ] {
        headers.entry(name).or_insert(value);
    }
    Ok(response)
}
