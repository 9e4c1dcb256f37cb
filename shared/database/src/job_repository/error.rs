//! Results and errors of the repository of jobs.

use media_domain::{
    job::{JobStatus, Signal},
    media::PreconditionFailed,
    permissions::Denied,
};
use sea_orm::DbErr;

use crate::{LostRace, entities::job, media_repository::PublishError};

/// The result of creating a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was created.
    New(job::Model),
    /// This unfinished job holds its unicity.
    Existing(job::Model),
}

/// The result of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signalled {
    /// The signal has taken effect.
    Done(job::Model),
    /// The job is running; its worker receives the signal with its next heartbeat.
    Requested(job::Model),
}

/// A refusal or failure of the repository.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// There is no such job.
    #[error("there is no such job")]
    NotFound,
    /// The attempt is over: its lease expired, or the job was deleted. Nothing was written.
    #[error("the lease on the job is lost")]
    LeaseLost,
    /// The job's status does not take the signal.
    #[error("a job that is {} does not take the signal `{}`", status.as_str(), signal.as_str())]
    SignalRefused {
        /// The job's status.
        status: JobStatus,
        /// The signal.
        signal: Signal,
    },
    /// The job is running or has ended, so its priority and schedule cannot change.
    #[error("a job that is {} does not wait; only a waiting job can be changed", status.as_str())]
    NotWaiting {
        /// The job's status.
        status: JobStatus,
    },
    /// Another unfinished job holds the unicity.
    #[error("another unfinished job holds the same unicity")]
    UnicityTaken,
    /// The job cannot be retried: its secrets were removed when it ended.
    #[error(
        "the password, query values or headers of this import were removed when it ended; post it anew, or set \
         MEDIA_ENCRYPTION_KEY to keep those of later jobs for `retry`"
    )]
    SecretsRemoved,
    /// The blob was abandoned before it could be recorded.
    #[error("the stored bytes were abandoned before they could be recorded")]
    BlobLost,
    /// The job's creator may not replace the media at the path.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The condition on the media at the path does not hold.
    #[error(transparent)]
    PreconditionFailed(#[from] PreconditionFailed),
    /// The project has reached its limit of unfinished jobs.
    #[error(
        "the project has reached its limit of {limit} unfinished jobs; wait until some have ended, or cancel some"
    )]
    TooManyUnfinished {
        /// The limit.
        limit: u32,
    },
    /// The tables could not be read or written.
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl LostRace for JobError {
    fn lost_race(&self) -> bool {
        matches!(self, Self::Database(error) if error.lost_race())
    }
}

impl From<PublishError> for JobError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::BlobLost => Self::BlobLost,
            PublishError::Denied(denied) => Self::Denied(denied),
            PublishError::PreconditionFailed(failed) => Self::PreconditionFailed(failed),
            PublishError::Database(error) => Self::Database(error),
        }
    }
}
