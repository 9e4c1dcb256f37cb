//! One service for data on this machine: a locked file beside it, which says where the service that
//! holds it can be reached. Data that is all elsewhere may have many.

use std::{
    fs::{File, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use media_shared::config::{Config, DatabaseUrl, StorageUrl};
use url::Url;

/// The lock on a database, held until it is dropped, or the process dies.
pub(crate) struct DataLock {
    /// None where nothing is on this machine.
    file: Option<File>,
}

/// What came of the attempt to lock.
pub(crate) enum Locking {
    /// The lock is ours.
    Acquired(DataLock),
    /// A service holds it: at this URL, if it has got so far as to say.
    HeldBy(Option<Url>),
}

impl DataLock {
    /// Tries to lock the database of a configuration.
    pub(crate) fn try_acquire(config: &Config) -> anyhow::Result<Locking> {
        let Some(path) = lock_file(config) else {
            return Ok(Locking::Acquired(Self { file: None }));
        };
        Self::try_lock(&path).with_context(|| format!("cannot lock {}", path.display()))
    }

    fn try_lock(path: &Path) -> std::io::Result<Locking> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let mut file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)?;
        match file.try_lock() {
            Ok(()) => {
                file.set_len(0)?;
                Ok(Locking::Acquired(Self { file: Some(file) }))
            }
            Err(TryLockError::WouldBlock) => {
                let mut url = String::new();
                file.read_to_string(&mut url)?;
                Ok(Locking::HeldBy(url.trim().parse().ok()))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Says that the service can no longer be reached.
    pub(crate) fn withdraw(&mut self) -> std::io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.set_len(0))
    }

    /// Says where the service can be reached.
    pub(crate) fn announce(&mut self, url: &str) -> std::io::Result<()> {
        let Some(file) = &mut self.file else {
            return Ok(());
        };
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{url}")
    }
}

/// Where the lock is: beside the SQLite file, or in the storage directory.
fn lock_file(config: &Config) -> Option<PathBuf> {
    match (&config.database, &config.storage) {
        (DatabaseUrl::Sqlite { path }, _) => {
            let mut name = path.clone().into_os_string();
            name.push(".lock");
            Some(name.into())
        }
        (DatabaseUrl::Postgres { .. }, StorageUrl::Directory(path)) => {
            Some(path.join("media.lock"))
        }
        (DatabaseUrl::Postgres { .. }, StorageUrl::S3(_)) => None,
    }
}
