//! The states of a job and the table of transitions between them.

use sea_orm::{DeriveActiveEnum, EnumIter};
use serde::{Deserialize, Serialize};

/// Where a job stands.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "lowercase")]
pub enum JobStatus {
    /// Waits for its time.
    #[sea_orm(string_value = "scheduled")]
    Scheduled,
    /// Waits for a free worker.
    #[sea_orm(string_value = "pending")]
    Pending,
    /// A worker holds its lease.
    #[sea_orm(string_value = "running")]
    Running,
    /// Waits for the signal `resume`.
    #[sea_orm(string_value = "paused")]
    Paused,
    /// Ended: done.
    #[sea_orm(string_value = "succeeded")]
    Succeeded,
    /// Ended: hopeless, or out of attempts.
    #[sea_orm(string_value = "failed")]
    Failed,
    /// Ended: somebody cancelled it.
    #[sea_orm(string_value = "cancelled")]
    Cancelled,
}

impl JobStatus {
    /// The name that clients see.
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

    /// Whether the job has ended: nothing but the signal `retry` moves it any more.
    pub fn is_final(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Cancelled)
    }
}

/// What a client may ask of a job.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, Hash, EnumIter, DeriveActiveEnum, Serialize, Deserialize,
)]
#[sea_orm(rs_type = "String", db_type = "Text")]
#[serde(rename_all = "lowercase")]
pub enum Signal {
    /// Ends the job for good.
    #[sea_orm(string_value = "cancel")]
    Cancel,
    /// Holds the job until `resume`.
    #[sea_orm(string_value = "pause")]
    Pause,
    /// Lets a paused job go on.
    #[sea_orm(string_value = "resume")]
    Resume,
    /// Starts an ended job anew, with its attempts counted from zero.
    #[sea_orm(string_value = "retry")]
    Retry,
}

impl Signal {
    /// The name that clients write.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Retry => "retry",
        }
    }

    /// Whether a job in this status takes the signal: the table of transitions.
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
