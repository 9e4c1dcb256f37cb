//! The bytes of a media: whole or in part, under conditions (RFC 9110 §13, §14).

use std::{io, ops::Range, time::Duration};

use futures_util::StreamExt as _;
use media_shared::{
    blob_store::{BlobKey, BlobStore, BlobStream, PresignedAnswer, StorageError},
    entities::media,
};
use parse_net::{
    ByteRange, Limits, RangeOutcome,
    date::{HttpDate, http_date},
    etag::{self, EntityTag},
    range::{self, IfRange, parse_if_range},
};
use poem::{
    Body, IntoResponse, Request, Response,
    http::{HeaderMap, HeaderName, Method, StatusCode, header},
};
use poem_openapi::{
    ApiResponse,
    payload::{Binary, Payload as _},
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type as _,
};
use url::Url;

use super::headers::{self, content, set, validators};
use crate::jsonapi::{ApiError, ErrorCode};

/// How often the bytes are looked for again when the media is replaced between the look at its
/// record and the opening of its bytes.
const OPEN_TRIES: u32 = 3;

/// The headers that go with every answer, and what they mean.
const VALIDATORS: [(&str, &str); 4] = [
    ("ETag", "The sha256 of the bytes, quoted"),
    ("Last-Modified", "When the media last changed"),
    (
        "Cache-Control",
        "Caches may keep it, and must ask before they use it",
    ),
    (
        "Vary",
        "`Prefer` decides whether the bytes come along, `Authorization` which they are",
    ),
];

/// What a download answers.
pub(super) struct DownloadResponse(Response);

/// What the conditions and the range of a request come to.
#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Whole,
    Part(Range<u64>),
    NotModified,
    PreconditionFailed,
    OutOfRange,
}

/// Where the bytes come from.
pub(super) struct Source<'a> {
    /// The stored objects.
    pub(super) store: &'a dyn BlobStore,
    /// How long a redirect to storage is good for, where clients fetch from there themselves.
    pub(super) redirect: Option<Duration>,
    /// Whether browsers may show PDF files in place.
    pub(super) inline_pdf: bool,
}

/// Answers a download. `find` looks up the media's record, again if it was replaced meanwhile.
pub(super) async fn download<F>(
    source: &Source<'_>,
    find: impl Fn() -> F,
    request: &Request,
    method: &Method,
    inline: bool,
) -> Result<DownloadResponse, ApiError>
where
    F: Future<Output = Result<media::Model, ApiError>>,
{
    let mut tries = 1;
    loop {
        let media = find().await?;
        match answer(source, &media, request, method, inline).await {
            Err(AnswerError::Storage(StorageError::NotFound)) if tries < OPEN_TRIES => tries += 1,
            Err(AnswerError::Storage(error)) => return Err(error.into()),
            Err(AnswerError::Request(error)) => return Err(error),
            Ok(response) => return Ok(DownloadResponse(response)),
        }
    }
}

enum AnswerError {
    Storage(StorageError),
    Request(ApiError),
}

async fn answer(
    source: &Source<'_>,
    media: &media::Model,
    request: &Request,
    method: &Method,
    inline: bool,
) -> Result<Response, AnswerError> {
    // The table holds no negative size.
    let size = u64::try_from(media.size).unwrap_or_default();
    let mut response = Response::default();
    validators(response.headers_mut(), media);
    let (status, range) = match judge(request.headers(), media, size, method) {
        Verdict::NotModified => {
            response.set_status(StatusCode::NOT_MODIFIED);
            return Ok(response);
        }
        Verdict::PreconditionFailed => {
            return Err(AnswerError::Request(ApiError::new(
                ErrorCode::PreconditionFailed,
                "the media is not the one that the condition names",
            )));
        }
        Verdict::OutOfRange => {
            return Err(AnswerError::Request(
                ApiError::new(
                    ErrorCode::RangeNotSatisfiable,
                    format!("the media has {size} bytes"),
                )
                .with_header(header::CONTENT_RANGE, format!("bytes */{size}")),
            ));
        }
        Verdict::Whole => (StatusCode::OK, 0..size),
        Verdict::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
    };
    if method == Method::GET
        && !headers::wants_minimal(request)
        && let Some(place) = elsewhere(source, media, request, inline).await?
    {
        return Ok(Response::builder()
            .status(StatusCode::FOUND)
            .header(header::LOCATION, place.as_str())
            // The place is good for a while, and for whoever has it.
            .header(header::CACHE_CONTROL, "no-store")
            .finish());
    }
    // Storage sends no sandbox along, so only what comes from here may be a PDF.
    let inline = inline && headers::may_be_inline(media, source.inline_pdf);
    let headers = response.headers_mut();
    content(headers, media, inline);
    if headers::wants_minimal(request) {
        set(headers, "preference-applied", "return=minimal");
        response.set_status(StatusCode::NO_CONTENT);
        return Ok(response);
    }
    set(headers, header::CONTENT_LENGTH, range.end - range.start);
    if status == StatusCode::PARTIAL_CONTENT {
        let value = format!("bytes {}-{}/{size}", range.start, range.end - 1);
        set(headers, header::CONTENT_RANGE, value);
    }
    response.set_status(status);
    if method == Method::HEAD || range.is_empty() {
        return Ok(response);
    }
    let bytes = source
        .store
        .read(&BlobKey::of(media.blob_id), range)
        .await
        .map_err(AnswerError::Storage)?;
    response.set_body(body_of(bytes));
    Ok(response)
}

/// Where the client can fetch the bytes by itself. A client that splices parts together stays: its
/// `If-Range` names a tag that storage does not know.
async fn elsewhere(
    source: &Source<'_>,
    media: &media::Model,
    request: &Request,
    inline: bool,
) -> Result<Option<Url>, AnswerError> {
    let Some(valid_for) = source.redirect else {
        return Ok(None);
    };
    if request.headers().contains_key(header::IF_RANGE) {
        return Ok(None);
    }
    let answer = PresignedAnswer {
        content_type: headers::content_type(media),
        content_disposition: headers::content_disposition(
            media,
            inline && headers::may_be_inline(media, false),
        ),
        valid_for,
    };
    source
        .store
        .presign(&BlobKey::of(media.blob_id), &answer)
        .await
        .map_err(AnswerError::Storage)
}

fn body_of(bytes: BlobStream) -> Body {
    Body::from_bytes_stream(bytes.map(|piece| {
        piece.map_err(|error| {
            // The headers are gone; all that is left is to break the answer off.
            tracing::error!(%error, "a download broke off");
            io::Error::other(error)
        })
    }))
}

/// The order of RFC 9110 §13.2.2.
fn judge(headers: &HeaderMap, media: &media::Model, size: u64, method: &Method) -> Verdict {
    let opaque = media.sha256.as_bytes();
    // A digest in hexadecimal digits is always a valid tag.
    let Ok(current) = EntityTag::strong(opaque) else {
        return Verdict::Whole;
    };
    let modified = headers::last_modified(media);
    if let Some(value) = field(headers, &header::IF_MATCH) {
        if !etag::if_match(&value, Some(&current)).unwrap_or(false) {
            return Verdict::PreconditionFailed;
        }
    } else if let Some(since) = date(headers, &header::IF_UNMODIFIED_SINCE)
        && modified.is_some_and(|modified| modified.unix() > since.unix())
    {
        return Verdict::PreconditionFailed;
    }
    if let Some(value) = field(headers, &header::IF_NONE_MATCH) {
        if etag::if_none_match(&value, &current).unwrap_or(false) {
            return Verdict::NotModified;
        }
    } else if let Some(since) = date(headers, &header::IF_MODIFIED_SINCE)
        && modified.is_some_and(|modified| modified.unix() <= since.unix())
    {
        return Verdict::NotModified;
    }
    // Range is defined for GET alone (RFC 9110 §14.2).
    match field(headers, &header::RANGE) {
        Some(value) if method == Method::GET && if_range_holds(headers, &current) => {
            judge_range(&value, size)
        }
        _ => Verdict::Whole,
    }
}

/// Only a strong tag may splice parts together: a date names a second, in which the media may have
/// changed more than once (RFC 9110 §13.1.5, §8.8.2.2).
fn if_range_holds(headers: &HeaderMap, current: &EntityTag<'_>) -> bool {
    match field(headers, &header::IF_RANGE)
        .as_deref()
        .map(parse_if_range)
    {
        None => true,
        Some(Ok(IfRange::Tag(tag))) => tag.strong_eq(current),
        Some(_) => false,
    }
}

/// The range that a request for `size` bytes comes to, if it is served in part.
#[cfg(feature = "fuzzing")]
pub(crate) fn range_of(value: &[u8], size: u64) -> Option<Range<u64>> {
    match judge_range(value, size) {
        Verdict::Part(range) => Some(range),
        _ => None,
    }
}

/// One range is served; several, or one that cannot be read, come to the whole (RFC 9110 §14.2).
fn judge_range(value: &[u8], size: u64) -> Verdict {
    let mut ranges = [ByteRange { start: 0, end: 0 }; 2];
    let Ok(parsed) = range::parse(value, &Limits::DEFAULT) else {
        return Verdict::Whole;
    };
    if !parsed.is_bytes() || parsed.len() != 1 {
        return Verdict::Whole;
    }
    match range::resolve(&parsed, size, true, &Limits::DEFAULT, &mut ranges) {
        RangeOutcome::Ranges(1) => Verdict::Part(ranges[0].start..ranges[0].end + 1),
        RangeOutcome::Unsatisfiable => Verdict::OutOfRange,
        _ => Verdict::Whole,
    }
}

/// A field's value; several lines are one list (RFC 9110 §5.3).
pub(super) fn field(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(poem::http::HeaderValue::as_bytes)
        .collect();
    (!lines.is_empty()).then(|| lines.join(&b", "[..]))
}

fn date(headers: &HeaderMap, name: &HeaderName) -> Option<HttpDate> {
    field(headers, name).and_then(|value| http_date(&value).ok())
}

impl IntoResponse for DownloadResponse {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for DownloadResponse {
    fn meta() -> MetaResponses {
        let response = |status, description, with_bytes: bool| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: if with_bytes {
                vec![MetaMediaType {
                    content_type: "*/*",
                    schema: Binary::<Vec<u8>>::schema_ref(),
                }]
            } else {
                vec![]
            },
            headers: VALIDATORS.map(documented).into(),
        };
        let redirect = MetaResponse {
            description: "Where the bytes are for a while, if the service is set up so",
            status: Some(302),
            status_range: None,
            content: vec![],
            headers: vec![
                documented(("Location", "A URL in storage; it needs no other permission")),
                documented(("Cache-Control", "Not to be kept")),
            ],
        };
        MetaResponses {
            responses: vec![
                redirect,
                response(200, "The bytes", true),
                response(
                    204,
                    "Headers only: the client preferred `return=minimal`",
                    false,
                ),
                response(206, "The bytes in the range asked for", true),
                response(304, "The client's copy is still good", false),
            ],
        }
    }

    fn register(_: &mut Registry) {}
}

fn documented((name, description): (&str, &str)) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: true,
        deprecated: false,
        schema: String::schema_ref(),
    }
}
