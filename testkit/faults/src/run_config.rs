//! The parameters of a fault run.

use std::time::Duration;

/// `MEDIA_LEASE` of all programs: the shortest that they accept.
pub(crate) const LEASE: &str = "5s";

/// The programs of a run and their dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Two APIs and three workers on PostgreSQL, Redis and SeaweedFS.
    Cluster,
    /// `media serve` on SQLite and a directory.
    Single,
}

/// The parameters of a fault run.
#[derive(Clone, Copy, Debug)]
pub struct FaultRun {
    pub mode: Mode,
    /// The seed of every random choice.
    pub seed: u64,
    /// The number of imports to post.
    pub jobs: usize,
    /// Imports posted per second.
    pub rate: u32,
    /// Whether the programs of a cluster reach PostgreSQL through PgBouncer in transaction mode.
    pub pooler: bool,
    /// The length of an outage of the object store.
    pub store_outage: Duration,
    /// Whether to wait until the collector has checked abandoned objects a second time.
    pub recheck: bool,
}
