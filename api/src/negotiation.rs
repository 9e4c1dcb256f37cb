//! Content negotiation of documents (JSON:API 1.1 §5): what the client takes.

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
    best_media(Some(&lines.join(&b", "[..])), &OFFERS).is_some()
}
