//! Content negotiation of documents (JSON:API 1.1 §5): what the client takes.

use media_shared::header_parameters::{Parameterized, split_list};
use parse_net::negotiate::best_media;
use poem::{Endpoint, IntoResponse, Middleware, Request, Response, Result, http::header};

use crate::jsonapi::{ApiError, ErrorCode, MEDIA_TYPE};

/// What a client may ask for to get a document.
const OFFERS: [&str; 2] = [MEDIA_TYPE, "application/json"];
/// Where answers are no documents: bytes, pages, plain words, streams.
const NO_DOCUMENTS: [&str; 6] = [
    "/docs",
    "/livez",
    "/medias/files/",
    "/metrics",
    "/openapi.json",
    "/readyz",
];

/// Refuses to send documents to clients that do not take them.
pub(crate) struct Negotiation;

impl<E: Endpoint> Middleware<E> for Negotiation {
    type Output = NegotiatingEndpoint<E>;

    fn transform(&self, endpoint: E) -> Self::Output {
        NegotiatingEndpoint(endpoint)
    }
}

/// An endpoint that sends documents.
pub(crate) struct NegotiatingEndpoint<E>(E);

impl<E: Endpoint> Endpoint for NegotiatingEndpoint<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Self::Output> {
        if !sends_document(&request) {
            return Ok(self.0.call(request).await?.into_response());
        }
        if !takes_document(&request) {
            return Err(ApiError::at_header(
                ErrorCode::NotAcceptable,
                "Accept",
                format!("the answer is {MEDIA_TYPE}, without parameters"),
            )
            .with_header(header::VARY, "Accept")
            .into());
        }
        let mut response = self.0.call(request).await?.into_response();
        let vary = header::HeaderValue::from_static("Accept");
        response.headers_mut().append(header::VARY, vary);
        Ok(response)
    }
}

fn sends_document(request: &Request) -> bool {
    let path = request.uri().path();
    let uploads =
        path.starts_with("/medias/files/") && *request.method() == poem::http::Method::POST;
    let events = path.starts_with("/jobs/") && path.ends_with("/events");
    uploads || !events && !NO_DOCUMENTS.iter().any(|other| path.starts_with(other))
}

fn takes_document(request: &Request) -> bool {
    let lines: Vec<&[u8]> = request
        .headers()
        .get_all(header::ACCEPT)
        .iter()
        .map(header::HeaderValue::as_bytes)
        .collect();
    if lines.is_empty() {
        return true;
    }
    takes(&lines.join(&b", "[..]))
}

pub(crate) fn takes(accept: &[u8]) -> bool {
    let ranges = split_list(accept);
    if ranges.is_empty() {
        return true;
    }
    let known: Vec<Vec<u8>> = ranges.into_iter().filter_map(without_parameters).collect();
    !known.is_empty() && best_media(Some(&known.join(&b", "[..])), &OFFERS).is_some()
}

/// A media range with nothing but its weight, where its parameters say nothing here: profiles that are not
/// known are ignored, and so are the parameters of plain JSON. Nothing where JSON:API is modified by an
/// extension or an unknown parameter, which makes it another type (JSON:API 1.1 §5.3).
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
            assert_eq!(takes(accept.as_bytes()), expected, "{accept}");
        }
    }
}
