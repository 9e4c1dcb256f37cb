//! The lock on data on this machine, which one service holds at a time. It contains the URL of that service. Data on
//! other machines is not locked.

use std::path::PathBuf;

use anyhow::Context as _;
use media_database::DatabaseUrl;
use media_migrations::file_lock::{self, FileLock};
use media_services::config::Config;
use media_storage::StorageUrl;
use url::Url;

/// The lock on the data of a configuration; none if all of it is on other machines.
pub(crate) struct DataLock(Option<FileLock>);

/// The result of an attempt to lock.
pub(crate) enum Locking {
    /// This process holds the lock.
    Acquired(DataLock),
    /// Another process holds the lock: a service at this URL, if it has announced one.
    HeldBy(Option<Url>),
}

impl DataLock {
    /// Whether a program has locked the data before: its lock file exists.
    pub(crate) fn is_present(config: &Config) -> bool {
        lock_file(config).is_some_and(|path| path.exists())
    }

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

    /// The lock file, for the connection to the database.
    pub(crate) fn file(&self) -> Option<FileLock> {
        self.0.clone()
    }

    /// Removes the service's URL from the lock.
    pub(crate) fn withdraw(&self) -> std::io::Result<()> {
        self.0.as_ref().map_or(Ok(()), FileLock::withdraw)
    }

    /// Writes the service's URL into the lock.
    pub(crate) fn announce(&self, url: &str) -> std::io::Result<()> {
        self.0.as_ref().map_or(Ok(()), |lock| lock.announce(url))
    }
}

/// The path of the lock: beside the SQLite file, or in the storage directory.
fn lock_file(config: &Config) -> Option<PathBuf> {
    match (&config.database, &config.storage) {
        (DatabaseUrl::Sqlite { path }, _) => Some(FileLock::beside(path)),
        (DatabaseUrl::Postgres { .. }, StorageUrl::Directory(path)) => {
            Some(path.join("media.lock"))
        }
        (DatabaseUrl::Postgres { .. }, StorageUrl::S3(_)) => None,
    }
}
