//! Converts errors of the job repository to answers.

use media_database::job_repository::JobError;
use poem::http::header;

use super::find::no_such_job;
use crate::jsonapi::{ApiError, ErrorCode};

impl From<JobError> for ApiError {
    fn from(error: JobError) -> Self {
        let code = match error {
            JobError::NotFound => return no_such_job(),
            JobError::Denied(denied) => return denied.into(),
            JobError::Database(error) => return error.into(),
            JobError::PreconditionFailed(failed) => return failed.into(),
            JobError::BlobLost => return Self::internal("repository", &error),
            JobError::TooManyUnfinished { .. } => {
                return Self::new(ErrorCode::TooManyJobs, error.to_string())
                    .with_header(header::RETRY_AFTER, "60");
            }
            JobError::LeaseLost => ErrorCode::Conflict,
            JobError::SignalRefused { .. } => ErrorCode::SignalRefused,
            JobError::NotWaiting { .. } => ErrorCode::NotWaiting,
            JobError::UnicityTaken => ErrorCode::UnicityTaken,
            JobError::SecretsRemoved => ErrorCode::SecretsRemoved,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use media_domain::job::{JobStatus, Signal};
    use poem::{error::ResponseError as _, http::StatusCode};

    use super::*;

    #[test]
    fn each_conflict_has_its_own_code() {
        let status = JobStatus::Succeeded;
        let signal = Signal::Pause;
        for (error, code) in [
            (JobError::SignalRefused { status, signal }, "signal_refused"),
            (JobError::NotWaiting { status }, "not_waiting"),
            (JobError::UnicityTaken, "unicity_taken"),
            (JobError::SecretsRemoved, "secrets_removed"),
        ] {
            let error = ApiError::from(error);
            assert!(error.to_string().starts_with(code), "{error}");
            assert_eq!(error.status(), StatusCode::CONFLICT);
        }
    }
}
