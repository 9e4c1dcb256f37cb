//! The errors of the API: a stable code, a sentence, and the place of the fault in the request. Every failure, also of
//! the framework, is answered with one of these.

use std::fmt;

use media_database::{DatabaseFailure, media_repository::PublishError};
use media_domain::media::PreconditionFailed;
use media_ingest::IngestError;
use media_storage::StorageError;
use poem::{
    IntoResponse, Response,
    error::{MethodNotAllowedError, NotFoundError, ReadBodyError, ResponseError},
    http::{StatusCode, header},
};
use poem_openapi::{
    ApiResponse, Object,
    error::{ContentTypeError, ParseParamError, ParsePathError},
    registry::{MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::{ToJSON, Type},
};
use sea_orm::DbErr;

use super::MEDIA_TYPE;

mod code;

pub use code::ErrorCode;

/// The place of the fault in the request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Object)]
#[oai(rename = "ErrorSource", skip_serializing_if_is_none)]
pub struct Source {
    /// A JSON Pointer (RFC 6901) into the body, or `/name` for a form field.
    pub pointer: Option<String>,
    /// A parameter of the query or the path.
    pub parameter: Option<String>,
    /// A header.
    pub header: Option<String>,
}

/// One fault of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    detail: String,
    source: Option<Source>,
}

impl Fault {
    /// A value in the body that is not accepted.
    pub fn at_pointer(pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            detail: detail.into(),
            source: Some(Source {
                pointer: Some(pointer.into()),
                ..Source::default()
            }),
        }
    }
}

/// One error of a JSON:API error document.
#[derive(Clone, Debug, PartialEq, Eq, Object)]
#[oai(rename = "Error", skip_serializing_if_is_none)]
pub struct ErrorObject {
    /// The HTTP status, as a string.
    pub status: String,
    /// The stable code.
    pub code: String,
    /// The kind of error.
    pub title: String,
    /// The cause and the remedy.
    pub detail: String,
    /// The place of the fault in the request.
    pub source: Option<Source>,
}

/// A JSON:API error document.
#[derive(Clone, Debug, PartialEq, Eq, Object)]
pub struct ErrorDocument {
    /// The errors; at least one.
    pub errors: Vec<ErrorObject>,
}

/// The errors of a failed request, all of one status.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiError {
    code: ErrorCode,
    faults: Vec<Fault>,
    headers: Vec<(header::HeaderName, String)>,
}

impl ApiError {
    /// An error about the request as a whole.
    pub fn new(code: ErrorCode, detail: impl Into<String>) -> Self {
        Self::at(code, None, detail)
    }

    fn at(code: ErrorCode, source: Option<Source>, detail: impl Into<String>) -> Self {
        let detail = detail.into();
        Self::with_faults(code, vec![Fault { detail, source }])
    }

    /// An error about several faults; at least one.
    pub fn with_faults(code: ErrorCode, faults: Vec<Fault>) -> Self {
        Self {
            code,
            faults,
            headers: Vec::new(),
        }
    }

    /// A value in the body that is not accepted.
    pub fn at_pointer(
        code: ErrorCode,
        pointer: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        Self::with_faults(code, vec![Fault::at_pointer(pointer, detail)])
    }

    /// A parameter that is not accepted.
    pub fn at_parameter(
        code: ErrorCode,
        parameter: impl Into<String>,
        detail: impl Into<String>,
    ) -> Self {
        let source = Source {
            parameter: Some(parameter.into()),
            ..Source::default()
        };
        Self::at(code, Some(source), detail)
    }

    /// A header that is not accepted.
    pub fn at_header(code: ErrorCode, name: impl Into<String>, detail: impl Into<String>) -> Self {
        let source = Source {
            header: Some(name.into()),
            ..Source::default()
        };
        Self::at(code, Some(source), detail)
    }

    /// Removes the places of the faults: the body is not a form or a document that has places.
    #[must_use]
    pub fn without_source(mut self) -> Self {
        self.faults.iter_mut().for_each(|fault| fault.source = None);
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// The resource does not exist.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::new(ErrorCode::NotFound, detail)
    }

    /// A defect of the service; the cause is logged, not sent.
    pub fn internal(context: &str, error: &dyn fmt::Display) -> Self {
        tracing::error!(context, %error, "internal error");
        Self::new(
            ErrorCode::Internal,
            "a defect of the service; see the service's log",
        )
    }

    /// A temporary failure: the client may retry after a second.
    pub fn unavailable(detail: &str) -> Self {
        let detail = format!("{detail}; try again in a moment");
        Self::new(ErrorCode::Unavailable, detail).with_header(header::RETRY_AFTER, "1")
    }

    fn unreachable_dependency(error: &dyn fmt::Display) -> Self {
        tracing::warn!(%error, "a dependency of the service cannot be reached");
        Self::unavailable("a dependency of the service cannot be reached")
    }

    /// Converts an error of the framework.
    pub fn from_framework(error: &poem::Error) -> Self {
        if let Some(error) = error.downcast_ref::<Self>() {
            return error.clone();
        }
        if let Some(ParseParamError { name, reason }) = error.downcast_ref() {
            return Self::at_parameter(ErrorCode::InvalidValue, *name, readable(reason));
        }
        if error.is::<NotFoundError>()
            || error.is::<ParsePathError>()
            || error.is::<poem::error::ParsePathError>()
        {
            return Self::not_found("there is nothing at this path; see /docs");
        }
        if error.is::<MethodNotAllowedError>() {
            return Self::new(
                ErrorCode::MethodNotAllowed,
                "this path does not support this method; see /docs",
            );
        }
        if error.is::<ContentTypeError>() {
            return Self::new(
                ErrorCode::UnsupportedMediaType,
                "the body is missing, or this path does not accept its Content-Type; see /docs",
            );
        }
        if let Some(error) = error.downcast_ref::<ReadBodyError>() {
            return Self::from_body(error);
        }
        match error.status() {
            status if status.is_client_error() => {
                Self::new(ErrorCode::BadRequest, "the request cannot be understood")
            }
            _ => Self::internal("request", error),
        }
    }

    pub(super) fn from_body(error: &ReadBodyError) -> Self {
        match error {
            ReadBodyError::PayloadTooLarge => Self::new(
                ErrorCode::TooLarge,
                "the body is larger than this path accepts",
            ),
            ReadBodyError::Io(error) if error.kind() == std::io::ErrorKind::TimedOut => {
                Self::new(ErrorCode::Stalled, error.to_string())
            }
            _ => Self::new(
                ErrorCode::IncompleteBody,
                "the body ended before it was complete",
            ),
        }
    }
}

/// Makes the framework's `verification failed. maximum(1000, exclusive: false)` a sentence about the parameter.
fn readable(reason: &str) -> String {
    reason.replacen("verification failed. ", "is not valid: ", 1)
}

impl From<DbErr> for ApiError {
    fn from(error: DbErr) -> Self {
        match media_database::classify(&error) {
            DatabaseFailure::Timeout => Self::new(
                ErrorCode::QueryTimeout,
                "this list takes too long to read; narrow it down with a filter, such as status, created_at or resource",
            ),
            DatabaseFailure::NoSpace => {
                tracing::error!(%error, "the database has no space left");
                Self::new(
                    ErrorCode::StorageFull,
                    "the database has no space left; nothing was stored",
                )
            }
            DatabaseFailure::Unavailable => Self::unreachable_dependency(&error),
            DatabaseFailure::Defect => Self::internal("database", &error),
        }
    }
}

impl From<StorageError> for ApiError {
    fn from(error: StorageError) -> Self {
        match error {
            StorageError::Full => Self::new(
                ErrorCode::StorageFull,
                "the storage has no space left; nothing was stored",
            ),
            _ => Self::unreachable_dependency(&error),
        }
    }
}

impl From<PreconditionFailed> for ApiError {
    fn from(failed: PreconditionFailed) -> Self {
        Self::new(ErrorCode::PreconditionFailed, failed.to_string())
    }
}

impl From<PublishError> for ApiError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::Database(error) => error.into(),
            PublishError::Denied(denied) => denied.into(),
            PublishError::PreconditionFailed(failed) => failed.into(),
            PublishError::BlobLost => Self::new(
                ErrorCode::Unavailable,
                "the upload was interrupted in the service, and nothing was stored; send it again",
            ),
        }
    }
}

impl From<IngestError> for ApiError {
    fn from(error: IngestError) -> Self {
        let detail = format!("the file {error}");
        let code = match error {
            IngestError::TooLarge { .. } => ErrorCode::TooLarge,
            IngestError::SizeMismatch { .. } => ErrorCode::SizeMismatch,
            IngestError::ChecksumMismatch { .. } => ErrorCode::ChecksumMismatch,
            IngestError::OverQuota { .. } => ErrorCode::QuotaExceeded,
            IngestError::Storage(error) => return error.into(),
            IngestError::Database(error) => return error.into(),
        };
        Self::at_pointer(code, "/media", detail)
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code.as_str())?;
        self.faults
            .iter()
            .try_for_each(|fault| write!(f, ": {}", fault.detail))
    }
}

impl std::error::Error for ApiError {}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        self.code.status()
    }

    fn as_response(&self) -> Response {
        let (code, status, title) = (self.code.as_str(), self.code.status(), self.code.title());
        let errors = self.faults.iter().map(|fault| ErrorObject {
            status: status.as_str().to_owned(),
            code: code.to_owned(),
            title: title.to_owned(),
            detail: fault.detail.clone(),
            source: fault.source.clone(),
        });
        let document = ErrorDocument {
            errors: errors.collect(),
        };
        let mut response = Response::builder()
            .status(status)
            .content_type(MEDIA_TYPE)
            .header(header::CACHE_CONTROL, "no-store");
        for (name, value) in &self.headers {
            response = response.header(name, value);
        }
        response.body(document.to_json_string())
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.as_response()
    }
}

/// The default response of every operation in the OpenAPI document.
impl ApiResponse for ApiError {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "An error, as a JSON:API error document",
                status: None,
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: MEDIA_TYPE,
                    schema: ErrorDocument::schema_ref(),
                }],
                headers: vec![],
            }],
        }
    }

    fn register(registry: &mut Registry) {
        ErrorDocument::register(registry);
    }
}
