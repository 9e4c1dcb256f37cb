//! Content negotiation of documents by `Accept` (JSON:API 1.1 §5).

use std::sync::Arc;

use media_shared::header_parameters::{Parameterized, split_list};
use parse_net::negotiate::best_media;
use poem::{Endpoint, IntoResponse, Request, Response, Result, http::header};

use crate::{
    jsonapi::{ApiError, ErrorCode, MEDIA_TYPE},
    routes::{Answer, MatchedRoute},
};

/// The media types of documents.
const OFFERS: [&str; 2] = [MEDIA_TYPE, "application/json"];

/// Rejects requests for documents of clients that do not accept them.
pub(crate) async fn negotiate<E: Endpoint>(endpoint: Arc<E>, request: Request) -> Result<Response> {
    if MatchedRoute::from_request(&request).answer() != Answer::Document {
        return Ok(endpoint.call(request).await?.into_response());
    }
    if !accepts_document(&request) {
        return Err(ApiError::at_header(
            ErrorCode::NotAcceptable,
            "Accept",
            format!("the answer is {MEDIA_TYPE}, without parameters"),
        )
        .with_header(header::VARY, "Accept")
        .into());
    }
    let mut response = endpoint.call(request).await?.into_response();
    let vary = header::HeaderValue::from_static("Accept");
    response.headers_mut().append(header::VARY, vary);
    Ok(response)
}

fn accepts_document(request: &Request) -> bool {
    let lines: Vec<&[u8]> = request
        .headers()
        .get_all(header::ACCEPT)
        .iter()
        .map(header::HeaderValue::as_bytes)
        .collect();
    if lines.is_empty() {
        return true;
    }
    accepts(&lines.join(&b", "[..]))
}

/// Whether the value of `Accept` allows a document.
pub(crate) fn accepts(accept: &[u8]) -> bool {
    let ranges = split_list(accept);
    if ranges.is_empty() {
        return true;
    }
    let known: Vec<Vec<u8>> = ranges.into_iter().filter_map(without_parameters).collect();
    !known.is_empty() && best_media(Some(&known.join(&b", "[..])), &OFFERS).is_some()
}

/// Removes the parameters of a media range except its weight: profiles, and all parameters of plain JSON, are ignored.
/// None if an extension or an unknown parameter makes JSON:API another type (JSON:API 1.1 §5.3).
fn without_parameters(range: &[u8]) -> Option<Vec<u8>> {
    let parsed = Parameterized::parse(range);
    let is = |mime: &str| parsed.value.eq_ignore_ascii_case(mime.as_bytes());
    let is_harmless = |name: &str| is("application/json") || matches!(name, "profile" | "q");
    if !OFFERS.iter().any(|offer| is(offer)) {
        return Some(range.to_vec());
    }
    let mut parameters = parsed.parameters.iter();
    if !parameters.all(|parameter| is_harmless(&parameter.name)) {
        return None;
    }
    Some(match parsed.get("q") {
        Some(weight) => [&parsed.value, &b";q="[..], weight].concat(),
        None => parsed.value,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn profiles_and_charsets_are_ignored_and_extensions_are_not() {
        for (accept, expected) in [
            ("application/vnd.api+json", true),
            (
                "application/vnd.api+json; profile=\"https://a.test/x, y https://b.test\"",
                true,
            ),
            ("application/vnd.api+json;profile=https://a.test/x", true),
            ("application/json; charset=utf-8", true),
            ("application/json;charset=\"utf-8\";q=0.5", true),
            (
                "text/html, application/vnd.api+json; profile=\"x\"; q=0.1",
                true,
            ),
            ("*/*", true),
            ("application/*;q=0.2", true),
            ("", true),
            (
                "application/vnd.api+json; ext=\"https://a.test/atomic\"",
                false,
            ),
            ("application/vnd.api+json; ext=\"x\"; profile=\"y\"", false),
            (
                "application/vnd.api+json; ext=\"x\", application/vnd.api+json",
                true,
            ),
            ("application/vnd.api+json; ext=\"x\", */*", true),
            ("application/vnd.api+json; charset=utf-8", false),
            ("application/vnd.api+json; profile=\"x\"; q=0", false),
            ("application/json; charset=utf-8; q=0", false),
            ("text/html", false),
        ] {
            assert_eq!(accepts(accept.as_bytes()), expected, "{accept}");
        }
    }
}
