//! Errors of an import, and how they are reported as the failure of its job.

use media_domain::job::{Failure, FailureCode, RetryDelay, redact_url};
use media_ingest::IngestError;
use media_storage::StorageError;
use url::Url;

use crate::fetch::FetchFailure;

/// Why an import failed.
pub(super) enum ImportError {
    UnsupportedClass {
        class: String,
        version: i16,
    },
    UnreadableArguments(serde_json::Error),
    InvalidHeaders,
    Fetch(FetchFailure),
    /// There is a media at the path, and the client asked for a failure then.
    AlreadyExists,
    /// The origin gave other content after each broken connection.
    UnstableContent,
    TypeNotAllowed {
        found: String,
        accepted: String,
    },
    Ingest(IngestError),
}

impl From<FetchFailure> for ImportError {
    fn from(failure: FetchFailure) -> Self {
        Self::Fetch(failure)
    }
}

impl From<IngestError> for ImportError {
    fn from(error: IngestError) -> Self {
        Self::Ingest(error)
    }
}

impl ImportError {
    /// Returns the stable code.
    pub(super) fn code(&self) -> FailureCode {
        match self {
            Self::UnsupportedClass { .. } | Self::UnreadableArguments(_) | Self::InvalidHeaders => {
                FailureCode::InvalidArguments
            }
            Self::AlreadyExists => FailureCode::AlreadyExists,
            Self::Fetch(failure) => failure.error.code(),
            Self::UnstableContent => FailureCode::IncompleteBody,
            Self::TypeNotAllowed { .. } => FailureCode::TypeNotAllowed,
            Self::Ingest(error) => match error {
                IngestError::TooLarge { .. } => FailureCode::TooLarge,
                IngestError::SizeMismatch { .. } => FailureCode::SizeMismatch,
                IngestError::ChecksumMismatch { .. } => FailureCode::ChecksumMismatch,
                IngestError::OverQuota { .. } => FailureCode::QuotaExceeded,
                IngestError::Storage(_) | IngestError::Database(_) => FailureCode::StorageFailed,
            },
        }
    }

    /// Reports the error to the client. URLs in failures are redacted here and nowhere else. `requested` is
    /// the URL in the job's arguments; an error of fetching is about its own, after redirects.
    pub(super) fn failure(&self, requested: Option<&Url>) -> Failure {
        let code = self.code();
        let (url, fetch) = match self {
            Self::Fetch(failure) => (Some(&*failure.url), Some(failure)),
            Self::UnstableContent | Self::TypeNotAllowed { .. } => (requested, None),
            Self::Ingest(_) if code != FailureCode::StorageFailed => (requested, None),
            _ => (None, None),
        };
        let message = self.message();
        Failure {
            code,
            detail: match url {
                Some(url) => format!("{} {message}", redact_url(url)),
                None => message,
            },
            delay: fetch.map_or(RetryDelay::Backoff, retry_delay),
        }
    }

    /// Describes the error; the subject is the URL where there is one.
    fn message(&self) -> String {
        match self {
            Self::UnsupportedClass { class, version } => format!(
                "this worker does not support version {version} of the job class `{class}`; update the workers, then send the signal `retry`"
            ),
            Self::UnreadableArguments(error) => {
                format!("the job's arguments cannot be read: {error}")
            }
            Self::InvalidHeaders => {
                "the argument `headers` has a name or value that cannot be sent".to_owned()
            }
            Self::AlreadyExists => {
                "there is a media at this resource and key already, and `if_exists` is `fail`"
                    .to_owned()
            }
            Self::Fetch(failure) => failure.error.to_string(),
            Self::UnstableContent => "gave other content each time its connection broke".to_owned(),
            Self::TypeNotAllowed { found, accepted } => {
                format!("is {found}, and `accept_types` accepts only {accepted}")
            }
            Self::Ingest(error) => ingest_message(error),
        }
    }
}

fn retry_delay(failure: &FetchFailure) -> RetryDelay {
    match failure.error.retry_after() {
        wait if failure.is_postponed => RetryDelay::Postponed(wait.unwrap_or_default()),
        Some(wait) => RetryDelay::AtLeast(wait),
        None => RetryDelay::Backoff,
    }
}

fn ingest_message(error: &IngestError) -> String {
    match error {
        IngestError::TooLarge { .. } => {
            format!("{error}; raise `max_bytes`, or MEDIA_MAX_BYTES of the service")
        }
        IngestError::Storage(StorageError::Full) => {
            "storage is full; free some space, or wait for the next attempt".to_owned()
        }
        IngestError::Storage(_) | IngestError::Database(_) => {
            tracing::error!(%error, "an import could not be stored");
            match error {
                IngestError::Storage(error) if error.is_misconfiguration() => {
                    "storage refuses this service; check its keys, bucket and permissions"
                }
                _ => "the bytes could not be stored; see the service's log",
            }
            .to_owned()
        }
        error => error.to_string(),
    }
}
