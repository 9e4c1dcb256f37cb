//! Answers a download: with all bytes or a range of them, or with a redirect to storage.

use std::{io, time::Duration};

use futures_util::StreamExt as _;
use media_database::entities::media;
use media_domain::blob::BlobKey;
use media_storage::{BlobStore, BlobStream, PresignedAnswer, StorageError};
use poem::{
    Body, Request, Response,
    http::{Method, StatusCode, header},
};
use url::Url;

use super::{
    MIN_REDIRECT_LIFETIME,
    conditions::{Selection, evaluate_conditions},
    response::DownloadResponse,
};
use crate::{
    jsonapi::{ApiError, ErrorCode},
    media::headers::{self, set, set_content_headers, set_validators},
};

/// The most attempts to answer a download. An attempt fails if the media is replaced between the lookup of its record
/// and the opening of its bytes.
const MAX_ATTEMPTS: u32 = 3;

/// The source of the bytes.
pub(super) struct Source<'a> {
    /// The stored objects.
    pub(super) store: &'a dyn BlobStore,
    /// The validity of redirects to storage, if clients are redirected.
    pub(super) redirect: Option<Duration>,
    /// Whether browsers may show PDF files inline.
    pub(super) inline_pdf: bool,
    /// The longest time for which caches may use public media without asking.
    pub(super) public_max_age: Duration,
}

/// Answers a download. `find` looks up the media's record, once for each attempt.
pub(super) async fn answer_download<F>(
    source: &Source<'_>,
    find: impl Fn() -> F,
    request: &Request,
    inline: bool,
) -> Result<DownloadResponse, ApiError>
where
    F: Future<Output = Result<media::Model, ApiError>>,
{
    let mut attempts = 1;
    loop {
        let media = find().await?;
        match answer(source, &media, request, inline).await {
            Err(AnswerError::Storage(StorageError::NotFound)) if attempts < MAX_ATTEMPTS => {
                attempts += 1;
            }
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
    inline: bool,
) -> Result<Response, AnswerError> {
    // The table has no negative sizes.
    let size = u64::try_from(media.size).unwrap_or_default();
    let method = request.method();
    let mut response = Response::default();
    set_validators(response.headers_mut(), media, source.public_max_age);
    let (status, range) = match evaluate_conditions(request.headers(), media, size, method) {
        Selection::NotModified => {
            response.set_status(StatusCode::NOT_MODIFIED);
            return Ok(response);
        }
        Selection::PreconditionFailed => {
            return Err(AnswerError::Request(ApiError::new(
                ErrorCode::PreconditionFailed,
                "the media does not fulfil the conditions of the request",
            )));
        }
        Selection::OutOfRange => {
            return Err(AnswerError::Request(
                ApiError::new(
                    ErrorCode::RangeNotSatisfiable,
                    format!("the media has {size} bytes"),
                )
                .with_header(header::CONTENT_RANGE, format!("bytes */{size}")),
            ));
        }
        Selection::Whole => (StatusCode::OK, 0..size),
        Selection::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
    };
    if method == Method::GET
        && !headers::wants_minimal(request)
        && let Some(url) = presigned_url(source, media, request, inline).await?
    {
        return Ok(Response::builder()
            .status(StatusCode::FOUND)
            .header(header::LOCATION, url.as_str())
            // The URL expires, and gives access without a token.
            .header(header::CACHE_CONTROL, "no-store")
            .finish());
    }
    // Only answers of this service have the sandbox policy that confines PDF files; answers of storage do not.
    let inline = inline && headers::may_be_inline(media, source.inline_pdf);
    let headers = response.headers_mut();
    set_content_headers(headers, media, inline);
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

/// Creates the URL in storage that the client is redirected to. None for requests with `If-Range`, as storage does not
/// know the tag.
async fn presigned_url(
    source: &Source<'_>,
    media: &media::Model,
    request: &Request,
    inline: bool,
) -> Result<Option<Url>, AnswerError> {
    let Some(redirect) = source.redirect else {
        return Ok(None);
    };
    let valid_for = match headers::remaining_lifetime(media) {
        Some(remaining) => redirect.min(remaining.max(MIN_REDIRECT_LIFETIME)),
        None => redirect,
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
    Body::from_bytes_stream(bytes.map(|chunk| {
        chunk.map_err(|error| {
            // The headers were sent, so the error can only end the answer early.
            tracing::error!(%error, "a download was interrupted");
            io::Error::other(error)
        })
    }))
}
