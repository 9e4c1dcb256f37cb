//! The labels of metrics and their values.

use prometheus_client::encoding::EncodeLabelSet;

/// The outcome of an attempt at a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// The media is stored and recorded.
    Succeeded,
    /// It failed; the job waits for another attempt, or has failed.
    Failed,
    /// The origin is in back-off; no attempt is spent.
    Postponed,
    /// A client's signal ended it.
    Stopped,
    /// The worker shuts down, or a dependency is unavailable; no attempt is spent.
    Released,
    /// The worker had lost the lease.
    Lost,
}

impl AttemptOutcome {
    pub(super) const ALL: [Self; 6] = [
        Self::Succeeded,
        Self::Failed,
        Self::Postponed,
        Self::Stopped,
        Self::Released,
        Self::Lost,
    ];

    /// The spelling in metrics and traces.
    pub fn label(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Postponed => "postponed",
            Self::Stopped => "stopped",
            Self::Released => "handed_back",
            Self::Lost => "lost",
        }
    }
}

/// The kind of write that stored bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stored {
    /// An attempt at an import.
    Import,
    /// An upload.
    Upload,
}

impl Stored {
    pub(super) const ALL: [Self; 2] = [Self::Import, Self::Upload];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Upload => "upload",
        }
    }
}

/// A task of a program beside requests and jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BackgroundTask {
    /// Claims of jobs.
    Claim,
    /// Heartbeats.
    Heartbeat,
    /// Records of the ends of attempts.
    Complete,
    /// Promotion of due jobs.
    Schedule,
    /// Rescue of jobs of lost workers.
    Rescue,
    /// Wake-ups for pending jobs.
    Reconcile,
    /// Collection of garbage in storage.
    Collect,
    /// Removal of jobs that ended long ago.
    Prune,
    /// Wake-ups through Redis.
    Wakeups,
    /// The usage of projects.
    Account,
}

impl BackgroundTask {
    pub(super) const ALL: [Self; 10] = [
        Self::Claim,
        Self::Heartbeat,
        Self::Complete,
        Self::Schedule,
        Self::Rescue,
        Self::Reconcile,
        Self::Collect,
        Self::Prune,
        Self::Wakeups,
        Self::Account,
    ];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Heartbeat => "heartbeat",
            Self::Complete => "settle",
            Self::Schedule => "schedule",
            Self::Rescue => "rescue",
            Self::Reconcile => "reconcile",
            Self::Collect => "collect",
            Self::Prune => "prune",
            Self::Wakeups => "tickets",
            Self::Account => "account",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfClass {
    pub(super) class: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfOutcome {
    pub(super) class: String,
    pub(super) outcome: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfCode {
    pub(super) code: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfStored {
    pub(super) by: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfTask {
    pub(super) work: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfRoute {
    pub(super) method: String,
    pub(super) route: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(super) struct OfAnswer {
    pub(super) method: String,
    pub(super) route: String,
    pub(super) status: u16,
}
