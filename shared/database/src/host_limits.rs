//! The limits of hosts that all workers share: back-off, and the number of connections. The only writer of the tables
//! `host_backoffs` and `host_connections`.

use media_domain::clock::Clock;
use sea_orm::DbErr;

use crate::Database;

mod host_backoff;
mod host_connections;

pub use host_backoff::{BackoffStatus, MAX_BACKOFF, PROBE_LIMIT};

/// The repository of the limits of hosts.
#[derive(Clone, Debug)]
pub struct HostLimits {
    database: Database,
    clock: Clock,
}

impl HostLimits {
    /// Opens the repository.
    pub fn new(database: Database, clock: Clock) -> Self {
        Self { database, clock }
    }

    /// Deletes back-offs that are over, and connections of workers that are gone. Returns their number.
    pub async fn prune(&self) -> Result<u64, DbErr> {
        let connections = self.prune_connections().await?;
        Ok(connections + self.prune_backoffs().await?)
    }
}
