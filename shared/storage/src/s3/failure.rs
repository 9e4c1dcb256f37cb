//! What an answer of S3, or the lack of one, means to us.

use std::error::Error;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::StorageError;

/// Sorts a failure by what can be done about it.
pub(super) fn classify<E>(error: &SdkError<E>) -> StorageError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            by_code(status, error.code().unwrap_or_default(), text_of(error))
        }
        // Neither a timeout nor the network: no keys, or an endpoint that is no URL. What is other
        // and has a kind is a connection that closed early.
        SdkError::DispatchFailure(failure)
            if failure.is_user() || (failure.is_other() && failure.as_other().is_none()) =>
        {
            StorageError::Refused(text_of(error))
        }
        SdkError::ConstructionFailure(_) => StorageError::Refused(text_of(error)),
        _ => StorageError::Unavailable(text_of(error)),
    }
}

/// Whether the store does not have the operation.
pub(super) fn is_unsupported<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let SdkError::ServiceError(answer) = error else {
        return false;
    };
    let status = answer.raw().status().as_u16();
    let code = error.code().unwrap_or_default();
    matches!(status, 405 | 501) || matches!(code, "NotImplemented" | "MethodNotAllowed")
}

/// The codes of S3 (Amazon S3 API Reference, «Error responses») and of what speaks like it.
#[allow(
    clippy::match_same_arms,
    reason = "the order says which counts, the code or the status"
)]
fn by_code(status: u16, code: &str, text: String) -> StorageError {
    match (status, code) {
        (507, _)
        | (
            _,
            "QuotaExceeded"
            | "InsufficientStorage"
            | "InsufficientCapacity"
            | "XMinioStorageFull"
            | "XMinioAdminBucketQuotaExceeded"
            | "TotalStorageLimitExceeded",
        ) => StorageError::Full,
        (
            _,
            "NoSuchBucket"
            | "PermanentRedirect"
            | "AuthorizationHeaderMalformed"
            | "IllegalLocationConstraintException"
            | "ExpiredToken"
            | "InvalidToken"
            | "RequestTimeTooSkewed",
        ) => StorageError::Refused(text),
        (_, "NoSuchKey" | "NotFound" | "NoSuchUpload") => StorageError::NotFound,
        // Some of these come with a 4xx, and are gone at the next try.
        (
            _,
            "SlowDown"
            | "RequestTimeout"
            | "OperationAborted"
            | "BadDigest"
            | "XAmzContentSHA256Mismatch"
            | "IncompleteBody",
        ) => StorageError::Unavailable(text),
        (301 | 400 | 401 | 403, _) => StorageError::Refused(text),
        (404, _) => StorageError::NotFound,
        _ => StorageError::Unavailable(text),
    }
}

/// The error and what caused it, in one line. Not its `Debug` form, which holds headers and bodies.
fn text_of<E>(error: &SdkError<E>) -> String
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if let SdkError::ServiceError(answer) = error {
        let status = answer.raw().status();
        let code = error.code().unwrap_or("no code");
        let message = error.message().unwrap_or("no message");
        return format!("{status} {code}: {message}");
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_count_before_statuses() {
        let verdict = |status, code| by_code(status, code, String::new());
        assert!(matches!(verdict(403, "QuotaExceeded"), StorageError::Full));
        assert!(matches!(
            verdict(400, "RequestTimeout"),
            StorageError::Unavailable(_)
        ));
        assert!(matches!(
            verdict(404, "NoSuchBucket"),
            StorageError::Refused(_)
        ));
        assert!(matches!(verdict(404, ""), StorageError::NotFound));
        assert!(matches!(verdict(503, ""), StorageError::Unavailable(_)));
        assert!(matches!(
            verdict(403, "SignatureDoesNotMatch"),
            StorageError::Refused(_)
        ));
    }
}
