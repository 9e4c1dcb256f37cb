//! The fault run: clients import, upload, delete, hang up and cancel while programs and servers are killed,
//! frozen, stopped and restarted, and calls on files fail. Whatever happened, at the end an independent check
//! of the tables, the stored bytes and the origin's files must find every promise kept.

use std::time::{Duration, Instant};

use rand::{SeedableRng as _, rngs::StdRng};

mod check;
mod client;
mod clients;
mod cluster;
mod conclude;
mod fault;
pub mod file_faults;
mod hang_ups;
mod imports;
mod interruptions;
mod order;
mod origin;
mod report;
mod scrape;
mod single;
mod staying;
mod storage;
mod tables;
mod tally;

pub use report::Report;

/// How long a worker holds a job in these runs: as short as it can be.
const LEASE: &str = "5s";

/// Which programs run, and on which dependencies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Two APIs and three workers on PostgreSQL, Redis and SeaweedFS.
    Cluster,
    /// `media serve` on SQLite and a directory.
    Single,
}

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct FaultRun {
    /// Which programs run, and on which dependencies.
    pub mode: Mode,
    /// From which every choice follows.
    pub seed: u64,
    /// How many imports are posted.
    pub jobs: usize,
    /// How many of them a second.
    pub rate: u32,
    /// Whether the programs of a cluster reach PostgreSQL through PgBouncer in transaction mode.
    pub pooler: bool,
    /// For how long the object store is away.
    pub store_outage: Duration,
    /// Whether to wait for the collector's second look at what was given up.
    pub second_look: bool,
}

impl FaultRun {
    /// Runs. The report says which promises were broken.
    pub async fn run(self) -> Report {
        let started = Instant::now();
        let random = StdRng::seed_from_u64(self.seed);
        let report = match self.mode {
            Mode::Cluster => Box::pin(cluster::run(self, random)).await,
            Mode::Single => Box::pin(single::run(self, random)).await,
        };
        Report {
            took: started.elapsed(),
            ..report
        }
    }
}
