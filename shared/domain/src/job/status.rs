//! The statuses of a job, and the signals that are allowed in each.

use serde::{Deserialize, Serialize};

/// The status of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "database",
    derive(sea_orm::EnumIter, sea_orm::DeriveActiveEnum)
)]
#[cfg_attr(feature = "database", sea_orm(rs_type = "String", db_type = "Text"))]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// The job waits for its scheduled time.
    #[cfg_attr(feature = "database", sea_orm(string_value = "scheduled"))]
    Scheduled,
    /// The job waits for a free worker.
    #[cfg_attr(feature = "database", sea_orm(string_value = "pending"))]
    Pending,
    /// A worker holds the lease of the job.
    #[cfg_attr(feature = "database", sea_orm(string_value = "running"))]
    Running,
    /// The job waits for the signal `resume`.
    #[cfg_attr(feature = "database", sea_orm(string_value = "paused"))]
    Paused,
    /// The job has ended: its media is stored.
    #[cfg_attr(feature = "database", sea_orm(string_value = "succeeded"))]
    Succeeded,
    /// The job has ended: another attempt cannot succeed, or none is left.
    #[cfg_attr(feature = "database", sea_orm(string_value = "failed"))]
    Failed,
    /// The job has ended: a client cancelled it.
    #[cfg_attr(feature = "database", sea_orm(string_value = "cancelled"))]
    Cancelled,
}

impl JobStatus {
    /// The statuses of unfinished jobs as an SQL list. Partial indexes contain the same text.
    pub const UNFINISHED_SQL: &'static str = "('scheduled','pending','running','paused')";

    /// The name on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Scheduled => "scheduled",
            Self::Pending => "pending",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }

    /// Whether the job has ended. An ended job accepts at most the signal `retry`.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// A client's request to change the status of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(
    feature = "database",
    derive(sea_orm::EnumIter, sea_orm::DeriveActiveEnum)
)]
#[cfg_attr(feature = "database", sea_orm(rs_type = "String", db_type = "Text"))]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Ends the job permanently.
    #[cfg_attr(feature = "database", sea_orm(string_value = "cancel"))]
    Cancel,
    /// Holds the job until `resume`.
    #[cfg_attr(feature = "database", sea_orm(string_value = "pause"))]
    Pause,
    /// Continues a paused job.
    #[cfg_attr(feature = "database", sea_orm(string_value = "resume"))]
    Resume,
    /// Starts an ended job again, with its attempt count reset to zero.
    #[cfg_attr(feature = "database", sea_orm(string_value = "retry"))]
    Retry,
}

impl Signal {
    /// The name on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Retry => "retry",
        }
    }

    /// Whether a job in this status accepts the signal.
    pub fn is_allowed_in(self, status: JobStatus) -> bool {
        use JobStatus::{Cancelled, Failed, Paused, Pending, Running, Scheduled};
        match self {
            Self::Cancel => matches!(status, Pending | Scheduled | Paused | Running),
            Self::Pause => matches!(status, Pending | Scheduled | Running),
            Self::Resume => matches!(status, Paused),
            Self::Retry => matches!(status, Failed | Cancelled),
        }
    }
}
