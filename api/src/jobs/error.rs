//! Converts errors of the job repository to answers.

use media_shared::job_ledger::LedgerError;
use poem::http::header;

use super::find::no_such_job;
use crate::jsonapi::{ApiError, ErrorCode};

impl From<LedgerError> for ApiError {
    fn from(error: LedgerError) -> Self {
        let code = match error {
            LedgerError::NotFound => return no_such_job(),
            LedgerError::Denied(denied) => return denied.into(),
            LedgerError::Database(error) => return error.into(),
            LedgerError::BlobLost => return Self::internal("ledger", &error),
            LedgerError::TooManyOpen { .. } => {
                let detail = format!("{error}; wait until some have ended, or cancel some");
                return Self::new(ErrorCode::TooManyJobs, detail)
                    .with_header(header::RETRY_AFTER, "60");
            }
            LedgerError::LeaseLost => ErrorCode::Conflict,
            LedgerError::SignalRefused { .. } => ErrorCode::SignalRefused,
            LedgerError::NotWaiting { .. } => ErrorCode::NotWaiting,
            LedgerError::UnicityTaken => ErrorCode::UnicityTaken,
            LedgerError::SecretsRemoved => ErrorCode::SecretsRemoved,
        };
        Self::new(code, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use media_shared::job::{JobStatus, Signal};
    use poem::{error::ResponseError as _, http::StatusCode};

    use super::*;

    #[test]
    fn each_conflict_has_its_own_code() {
        let status = JobStatus::Succeeded;
        let signal = Signal::Pause;
        for (error, code) in [
            (
                LedgerError::SignalRefused { status, signal },
                "signal_refused",
            ),
            (LedgerError::NotWaiting { status }, "not_waiting"),
            (LedgerError::UnicityTaken, "unicity_taken"),
            (LedgerError::SecretsRemoved, "secrets_removed"),
        ] {
            let error = ApiError::from(error);
            assert!(error.to_string().starts_with(code), "{error}");
            assert_eq!(error.status(), StatusCode::CONFLICT);
        }
    }
}
