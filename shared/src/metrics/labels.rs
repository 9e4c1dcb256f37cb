//! What figures are told apart by.

use prometheus_client::encoding::EncodeLabelSet;

/// How an attempt at a job ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AttemptOutcome {
    /// The media is stored and recorded.
    Succeeded,
    /// It failed; the job waits for another, or has failed.
    Failed,
    /// The origin wants to be left alone; nothing is spent.
    Postponed,
    /// A client's signal ended it.
    Stopped,
    /// The worker shuts down, or storage is away; nothing is spent.
    HandedBack,
    /// The job was no longer this worker's.
    Lost,
}

impl AttemptOutcome {
    pub(super) const ALL: [Self; 6] = [
        Self::Succeeded,
        Self::Failed,
        Self::Postponed,
        Self::Stopped,
        Self::HandedBack,
        Self::Lost,
    ];

    /// As figures and traces spell it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Postponed => "postponed",
            Self::Stopped => "stopped",
            Self::HandedBack => "handed_back",
            Self::Lost => "lost",
        }
    }
}

/// What bytes were stored for.
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

/// What a worker does beside jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// Taking the next job.
    Claim,
    /// The sign of life.
    Heartbeat,
    /// Writing down how an attempt ended.
    Settle,
    /// Making due jobs pending.
    Schedule,
    /// Taking jobs back from lost workers.
    Rescue,
    /// Looking for what is pending.
    Reconcile,
    /// Removing what nobody refers to from storage.
    Collect,
    /// Removing jobs that ended long ago.
    Prune,
    /// Posting tickets to Redis, or taking them.
    Tickets,
    /// Keeping the usage of projects.
    Account,
}

impl Work {
    pub(super) const ALL: [Self; 10] = [
        Self::Claim,
        Self::Heartbeat,
        Self::Settle,
        Self::Schedule,
        Self::Rescue,
        Self::Reconcile,
        Self::Collect,
        Self::Prune,
        Self::Tickets,
        Self::Account,
    ];

    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Heartbeat => "heartbeat",
            Self::Settle => "settle",
            Self::Schedule => "schedule",
            Self::Rescue => "rescue",
            Self::Reconcile => "reconcile",
            Self::Collect => "collect",
            Self::Prune => "prune",
            Self::Tickets => "tickets",
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
pub(super) struct OfWork {
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
