//! The fault run: clients import, upload, delete, disconnect and cancel while programs and servers are
//! killed, frozen, stopped and restarted, and calls on files fail. At the end an independent check reads
//! the tables, the stored bytes and the origin's files, and reports every broken promise.

#![allow(missing_docs, reason = "a crate for tests; most names say everything")]
// In tests a failure is a panic that says where; nothing here connects on behalf of a user.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]
#![allow(clippy::disallowed_methods)]

use std::time::Instant;

use rand::{SeedableRng as _, rngs::StdRng};

mod check;
mod client;
mod clients;
mod cluster;
mod conclude;
mod disconnects;
mod fault;
mod imports;
mod interruptions;
mod origin;
mod persistent;
mod priority_order;
mod report;
mod run_config;
mod scrape;
mod single;
mod storage;
mod tables;
mod tally;

pub use report::Report;
pub use run_config::{FaultRun, Mode};

impl FaultRun {
    /// Runs to the end and returns the report, which lists the broken promises.
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
