//! The address of the database.

use std::{path::PathBuf, time::Duration};

use media_domain::secret::Secret;

/// The longest that a statement waits for a connection, for a place in the queue of SQLite's writer, or for SQLite's
/// write lock. No lease may be shorter.
pub const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// The address of the database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseUrl {
    /// A SQLite file, created if it is not there.
    Sqlite {
        /// Its path.
        path: PathBuf,
    },
    /// A PostgreSQL database.
    Postgres {
        /// With user and password.
        url: Secret,
        /// The pooler in front of it.
        pooler: Pooler,
    },
}

/// The pooler between the programs and PostgreSQL.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Pooler {
    /// None, or one that gives each client a connection of its own for as long as it stays.
    #[default]
    None,
    /// One that gives each transaction another connection: nothing of a session outlives a transaction.
    Transaction,
}
