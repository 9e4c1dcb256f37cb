//! The entry points of the fuzz targets. Each function panics if a parser of requests breaks its contract.

#![allow(
    clippy::missing_panics_doc,
    reason = "a panic is how a fuzz target fails"
)]

use bytes::Bytes;
use chrono::DateTime;
use futures_util::{FutureExt as _, stream};
use media_shared::{config::LinkKeys, ids::MediaId};
use poem::Request;
use uuid::Uuid;

use crate::{
    jobs::JobResource,
    links::signed_link::{LinkQuery, LinkSigner},
    media::{self, MediaResource},
    middleware::negotiation,
    multipart::{self, Multipart},
    resource::{ValueType, list_query::ListQuery},
    time,
};

/// Parses a value of `Accept`.
pub fn accept(field: &[u8]) {
    negotiation::accepts(field);
}

/// Parses the query of a list.
pub fn query_string(query: &str) {
    let encoded = query.replace(|c: char| c.is_control() || c == ' ' || c == '#', "+");
    let Ok(uri) = format!("/jobs?{encoded}").parse() else {
        return;
    };
    let request = Request::builder().uri(uri).finish();
    drop(ListQuery::<JobResource>::from_request(&request));
    drop(ListQuery::<MediaResource>::from_request(&request));
}

/// Decodes a cursor in a sort order.
pub fn cursor(text: &str, sort: &str) {
    let query: String = url::form_urlencoded::Serializer::new(String::new())
        .append_pair("page[after]", text)
        .append_pair("sort", sort)
        .finish();
    query_string(&query);
}

/// Parses `Range`, and checks that the selected range lies within the media.
pub fn range_header(value: &[u8], size: u64) {
    if let Some(range) = media::range_of(value, size) {
        assert!(
            range.start < range.end && range.end <= size,
            "{range:?} of {size}"
        );
    }
}

/// Verifies a signed link, and checks that only signed links are valid.
pub fn signed_link(fields: [&str; 3], disposition: Option<&str>) {
    let links = LinkSigner::new(&LinkKeys::new(
        "a key of the fuzz target, at least 32 bytes",
    ));
    let now = DateTime::UNIX_EPOCH;
    let [media, expires, signature] = fields;
    let query = LinkQuery {
        media,
        expires,
        disposition,
        signature,
    };
    assert!(links.verify(&query, now).is_err(), "{query:?}");
    // A valid link is valid with its own disposition alone.
    let signed = links.sign(
        MediaId(Uuid::nil()),
        disposition,
        now + chrono::TimeDelta::hours(1),
    );
    let text = signed.to_string();
    let part = |name: &str| {
        let mut pairs = url::form_urlencoded::parse(text.as_bytes());
        pairs
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.into_owned())
    };
    let (media, expires) = (
        part("media").unwrap_or_default(),
        part("expires").unwrap_or_default(),
    );
    let signature = part("signature").unwrap_or_default();
    let good = |disposition| {
        let query = LinkQuery {
            media: &media,
            expires: &expires,
            disposition,
            signature: &signature,
        };
        links.verify(&query, now).is_ok()
    };
    assert!(good(disposition));
    assert!(!good(Some(fields[0])) || disposition == Some(fields[0]));
}

/// Parses a form, and checks that the result does not depend on the sizes of the chunks.
pub fn multipart(content_type: &str, form: &[u8], piece: usize) {
    let Some(boundary) = multipart::boundary(content_type) else {
        return;
    };
    let whole = read_form(&boundary, form, form.len());
    assert_eq!(read_form(&boundary, form, piece), whole);
}

/// The contents of the complete parts of a form, and whether the form is complete.
fn read_form(boundary: &str, form: &[u8], piece: usize) -> (Vec<Vec<u8>>, bool) {
    let pieces: Vec<std::io::Result<Bytes>> = form
        .chunks(piece.max(1))
        .map(|piece| Ok(Bytes::copy_from_slice(piece)))
        .collect();
    let mut form = Multipart::new(stream::iter(pieces), boundary, 1 << 20);
    let mut parts = Vec::new();
    let reading = async {
        while let Ok(Some(_)) = form.next_part().await {
            let mut content = Vec::new();
            while let Ok(Some(chunk)) = form.chunk().await {
                content.extend_from_slice(&chunk);
            }
            parts.push(content);
        }
        form.next_part().await.is_ok_and(|part| part.is_none())
    };
    // The stream never waits, so the future is ready at once.
    let is_whole = reading.now_or_never().unwrap_or_default();
    // The content of an unfinished part depends on the pieces.
    if !is_whole {
        parts.pop();
    }
    (parts, is_whole)
}

/// Parses a time, and checks that a query accepts every time that a body accepts.
pub fn times(text: &str) {
    let body = time::parse(text);
    let query = ValueType::Time.parse(text);
    assert!(body.is_err() || query.is_ok(), "{text}");
}
