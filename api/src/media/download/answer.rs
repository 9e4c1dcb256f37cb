//! Answers a download: the bytes whole or in part, or a redirect to storage.

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
    conditions::{Selection, evaluate_conditions},
    response::DownloadResponse,
};
use crate::{
    jsonapi::{ApiError, ErrorCode},
    media::headers::{self, content, set, validators},
};

/// How often a download starts again because the media was replaced between the lookup of its record and the
/// opening of its bytes.
const MAX_OPEN_TRIES: u32 = 3;

/// The source of the bytes.
pub(super) struct Source<'a> {
    /// The stored objects.
    pub(super) store: &'a dyn BlobStore,
    /// How long a redirect to storage stays valid, if clients are redirected.
    pub(super) redirect: Option<Duration>,
    /// Whether browsers may show PDF files in place.
    pub(super) inline_pdf: bool,
}

/// Answers a download. `find` looks up the media's record, again if it was replaced meanwhile.
pub(super) async fn answer_download<F>(
    source: &Source<'_>,
    find: impl Fn() -> F,
    request: &Request,
    inline: bool,
) -> Result<DownloadResponse, ApiError>
where
    F: Future<Output = Result<media::Model, ApiError>>,
{
    let mut tries = 1;
    loop {
        let media = find().await?;
        match answer(source, &media, request, inline).await {
            Err(AnswerError::Storage(StorageError::NotFound)) if tries < MAX_OPEN_TRIES => {
                tries += 1;
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
    // The table holds no negative size.
    let size = u64::try_from(media.size).unwrap_or_default();
    let method = request.method();
    let mut response = Response::default();
    validators(response.headers_mut(), media);
    let (status, range) = match evaluate_conditions(request.headers(), media, size, method) {
        Selection::NotModified => {
            response.set_status(StatusCode::NOT_MODIFIED);
            return Ok(response);
        }
        Selection::PreconditionFailed => {
            return Err(AnswerError::Request(ApiError::new(
                ErrorCode::PreconditionFailed,
                "the media is not the one that the condition names",
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
            // The URL expires, and needs no other permission.
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

/// The URL in storage that the client is redirected to. A client that sends `If-Range` is not redirected: storage
/// does not know the tag.
async fn presigned_url(
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
            // The headers were sent, so the error can only end the answer early.
            tracing::error!(%error, "a download broke off");
            io::Error::other(error)
        })
    }))
}
