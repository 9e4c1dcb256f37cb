//! Compresses documents and metrics. The bytes of media and event streams are never compressed: ranges and validators
//! belong to the stored bytes, and an event must not wait in a buffer.

use std::{io, sync::Arc};

use bytes::Bytes;
use http_body_util::{BodyExt as _, combinators::BoxBody};
use hyper::body::Body as _;
use poem::{
    Body, Endpoint, IntoResponse, Request, Response, Result,
    http::{StatusCode, header},
};
use tokio::task::spawn_blocking;

use crate::{
    content_coding::ContentCoding,
    routes::{Answer, MatchedRoute},
};

/// The smallest answer that is compressed, in bytes: smaller ones fit into one packet as they are.
const MIN_BYTES: u64 = 1024;
/// The size from which an answer is compressed on another thread, in bytes, as it takes longer than a millisecond.
const BLOCKING_BYTES: usize = 128 * 1024;

/// Compresses the answer, if its route allows it and the client accepts it.
pub(crate) async fn compress<E: Endpoint>(endpoint: Arc<E>, request: Request) -> Result<Response> {
    if MatchedRoute::from_request(&request).answer() == Answer::Other {
        return Ok(endpoint.call(request).await?.into_response());
    }
    let coding = ContentCoding::accepted_by(request.headers());
    let mut response = endpoint.call(request).await?.into_response();
    let vary = header::HeaderValue::from_static("Accept-Encoding");
    response.headers_mut().append(header::VARY, vary);
    match coding {
        Some(coding) if may_be_compressed(&response) => compressed(response, coding).await,
        _ => Ok(response),
    }
}

/// Whether an answer may have another coding. A document with a strong validator is a single record, which is small;
/// compressed it would have a weak one (RFC 9110 §8.8.1), which `If-Match` never accepts.
fn may_be_compressed(response: &Response) -> bool {
    let headers = response.headers();
    response.status() != StatusCode::NO_CONTENT
        && !headers.contains_key(header::CONTENT_ENCODING)
        && !headers.contains_key(header::ETAG)
}

async fn compressed(response: Response, coding: ContentCoding) -> Result<Response> {
    let (parts, body) = response.into_parts();
    let body: BoxBody<Bytes, io::Error> = body.into();
    // A body of unknown size is a stream.
    if body
        .size_hint()
        .exact()
        .is_none_or(|bytes| bytes < MIN_BYTES)
    {
        return Ok(Response::from_parts(parts, Body::from(body)));
    }
    let whole = body
        .collect()
        .await
        .map_err(poem::error::ReadBodyError::Io)?;
    let whole = whole.to_bytes();
    let small = if whole.len() < BLOCKING_BYTES {
        coding.compress(&whole).ok()
    } else {
        let whole = whole.clone();
        let compressing = spawn_blocking(move || coding.compress(&whole)).await;
        compressing.ok().and_then(io::Result::ok)
    };
    // Compression in memory does not fail. If it did, the answer would be sent as it is.
    let Some(small) = small else {
        return Ok(Response::from_parts(parts, Body::from(whole)));
    };
    let mut response = Response::from_parts(parts, Body::from(small));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_ENCODING, coding.header());
    headers.remove(header::CONTENT_LENGTH);
    Ok(response)
}

#[cfg(test)]
mod tests {
    use poem::endpoint::make_sync;

    use super::*;

    #[tokio::test]
    async fn documents_are_compressed_for_clients_that_accept_it() {
        let ask = async |coding: &str, bytes: usize, tag: Option<&str>| {
            let text = "x".repeat(bytes);
            let tag = tag.map(str::to_owned);
            let endpoint = make_sync(move |_| {
                let response = Response::builder();
                match &tag {
                    Some(tag) => response.header(header::ETAG, tag),
                    None => response,
                }
                .body(text.clone())
            });
            let request = Request::builder().header(header::ACCEPT_ENCODING, coding);
            // Requests without a route are answered with documents.
            let response = compress(Arc::new(endpoint), request.finish())
                .await
                .unwrap();
            assert_eq!(response.header(header::VARY), Some("Accept-Encoding"));
            let coding = response.header(header::CONTENT_ENCODING).map(str::to_owned);
            (
                coding,
                response.into_body().into_bytes().await.unwrap().len(),
            )
        };
        for bytes in [1024, 1 << 20] {
            let (coding, length) = ask("gzip", bytes, None).await;
            assert!(
                coding.as_deref() == Some("gzip") && length < bytes / 10,
                "{length}"
            );
            assert_eq!(
                ask("gzip, zstd", bytes, None).await.0.as_deref(),
                Some("zstd")
            );
            assert_eq!(ask("br", bytes, None).await, (None, bytes));
            assert_eq!(ask("gzip", bytes, Some("\"a\"")).await, (None, bytes));
        }
        assert_eq!(ask("gzip", 1023, None).await, (None, 1023));
    }
}
