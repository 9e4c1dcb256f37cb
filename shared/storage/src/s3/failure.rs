//! The classification of failed S3 requests.

use std::error::Error;

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};

use crate::StorageError;

/// Classifies a failure by how it can be resolved: by a retry, by freeing space or by a change of the configuration.
pub(super) fn classify<E>(error: &SdkError<E>) -> StorageError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match error {
        SdkError::ServiceError(answer) => {
            let status = answer.raw().status().as_u16();
            by_code(status, error.code().unwrap_or_default(), error_text(error))
        }
        // Neither a timeout nor the network: the keys are missing, or the endpoint is not a URL. An `other` failure
        // that has a kind is a connection that closed early.
        SdkError::DispatchFailure(failure)
            if failure.is_user() || (failure.is_other() && failure.as_other().is_none()) =>
        {
            StorageError::Refused(error_text(error))
        }
        SdkError::ConstructionFailure(_) => StorageError::Refused(error_text(error)),
        _ => StorageError::Unavailable(error_text(error)),
    }
}

/// Whether the store does not implement the operation.
pub(super) fn is_unsupported<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let SdkError::ServiceError(answer) = error else {
        return false;
    };
    let status = answer.raw().status().as_u16();
    let code = error.code().unwrap_or_default();
    matches!(status, 405 | 501) || matches!(code, "NotImplemented" | "MethodNotAllowed")
}

/// Classifies the error codes of S3 (Amazon S3 API Reference, «Error responses») and of S3-compatible stores.
#[allow(
    clippy::match_same_arms,
    reason = "the order of the arms decides between code and status"
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
        // Some of these come with a 4xx status, but a retry may succeed.
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

/// The error and its causes, in one line. The `Debug` form is not used: it contains headers and bodies.
fn error_text<E>(error: &SdkError<E>) -> String
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
    fn error_codes_take_precedence_over_statuses() {
        let classified = |status, code| by_code(status, code, String::new());
        assert!(matches!(
            classified(403, "QuotaExceeded"),
            StorageError::Full
        ));
        assert!(matches!(
            classified(400, "RequestTimeout"),
            StorageError::Unavailable(_)
        ));
        assert!(matches!(
            classified(404, "NoSuchBucket"),
            StorageError::Refused(_)
        ));
        assert!(matches!(classified(404, ""), StorageError::NotFound));
        assert!(matches!(classified(503, ""), StorageError::Unavailable(_)));
        assert!(matches!(
            classified(403, "SignatureDoesNotMatch"),
            StorageError::Refused(_)
        ));
    }
}
