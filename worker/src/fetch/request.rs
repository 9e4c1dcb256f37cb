//! The HTTP request that is sent to an origin.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Request, Uri,
    header::{self, HeaderMap, HeaderValue},
};
use percent_encoding::percent_decode_str;
use url::{Position, Url};

use super::target::Target;

/// Builds a request in origin form (RFC 9112 §3.2.1); nothing if the URL cannot be sent.
pub(super) fn build(
    target: &Target,
    range: &HeaderMap,
    user_agent: &HeaderValue,
) -> Option<Request<Empty<Bytes>>> {
    let url = &target.url;
    let path = Uri::try_from(&url[Position::BeforePath..Position::AfterQuery]).ok()?;
    let host = HeaderValue::try_from(&url[Position::BeforeHost..Position::AfterPort]).ok()?;
    let mut request = Request::new(Empty::new());
    *request.uri_mut() = path;
    let headers = request.headers_mut();
    headers.insert(header::HOST, host);
    headers.insert(header::USER_AGENT, user_agent.clone());
    headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
    if let Some(credentials) = credentials(url) {
        headers.insert(header::AUTHORIZATION, credentials);
    }
    // These replace the headers above. Arguments are validated: none frames or routes the request.
    for (name, value) in target.headers.iter().chain(range) {
        headers.insert(name, value.clone());
    }
    if let Some(value) = target.cookies.header(url, headers.get(header::COOKIE)) {
        headers.insert(header::COOKIE, value);
    }
    // A content coding would change the stored bytes.
    headers.insert(
        header::ACCEPT_ENCODING,
        HeaderValue::from_static("identity"),
    );
    // One exchange per connection: bytes after the answer are detected.
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    Some(request)
}

/// Returns the user and password of a URL as `Authorization` (RFC 7617).
fn credentials(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let text = format!("Basic {}", BASE64_STANDARD.encode(pair));
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}
