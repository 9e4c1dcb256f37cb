//! One service for data on this machine: the lock that says where the service that has it can be reached.
//! Data that is all elsewhere may have many services.

use std::path::PathBuf;

use anyhow::Context as _;
use media_database::DatabaseUrl;
use media_migrations::file_lock::{self, FileLock};
use media_services::config::Config;
use media_storage::StorageUrl;
use url::Url;

/// The lock on the data of a configuration; none where nothing is on this machine.
pub(crate) struct DataLock(Option<FileLock>);

/// The result of an attempt to lock.
pub(crate) enum Locking {
    /// The lock is ours.
    Acquired(DataLock),
    /// A service has it: at this URL, if it has got so far as to say.
    HeldBy(Option<Url>),
}

impl DataLock {
    /// Tries to lock the data of a configuration.
    pub(crate) fn try_acquire(config: &Config) -> anyhow::Result<Locking> {
        let Some(path) = lock_file(config) else {
            return Ok(Locking::Acquired(Self(None)));
        };
        let locking = FileLock::try_acquire(&path)
            .with_context(|| format!("cannot lock {}", path.display()))?;
        Ok(match locking {
            file_lock::Locking::Acquired(lock) => Locking::Acquired(Self(Some(lock))),
            file_lock::Locking::HeldBy(url) => {
                Locking::HeldBy(url.and_then(|url| url.parse().ok()))
            }
        })
    }

    /// The lock itself, for the connection to the database.
    pub(crate) fn file(&self) -> Option<FileLock> {
        self.0.clone()
    }

    /// Says that the service can no longer be reached.
    pub(crate) fn withdraw(&self) -> std::io::Result<()> {
        self.0.as_ref().map_or(Ok(()), FileLock::withdraw)
    }

    /// Says where the service can be reached.
    pub(crate) fn announce(&self, url: &str) -> std::io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |lock| lock.announce(url))
    }
}

/// Where the lock is: beside the SQLite file, or in the storage directory.
fn lock_file(config: &Config) -> Option<PathBuf> {
    match (&config.database, &config.storage) {
        (DatabaseUrl::Sqlite { path }, _) => Some(FileLock::beside(path)),
        (DatabaseUrl::Postgres { .. }, StorageUrl::Directory(path)) => {
            Some(path.join("media.lock"))
        }
        (DatabaseUrl::Postgres { .. }, StorageUrl::S3(_)) => None,
    }
}
