//! One service for one data directory: a locked file beside the data, which says where the service
//! that holds it can be reached.

use std::{
    fs::{File, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use media_shared::config::{Config, DatabaseUrl, StorageUrl};
use url::Url;

/// The file's name.
const FILE_NAME: &str = "media.lock";

/// The lock on a data directory, held until it is dropped, or the process dies.
pub(crate) struct DataLock {
    file: File,
}

/// What came of the attempt to lock.
pub(crate) enum Locking {
    /// The lock is ours.
    Acquired(DataLock),
    /// A service holds it: at this URL, if it has got so far as to say.
    HeldBy(Option<Url>),
}

impl DataLock {
    /// Tries to lock the data directory of a configuration.
    pub(crate) fn try_acquire(config: &Config) -> anyhow::Result<Locking> {
        let path = directory(config).join(FILE_NAME);
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
                Ok(Locking::Acquired(Self { file }))
            }
            Err(TryLockError::WouldBlock) => {
                let mut url = String::new();
                file.read_to_string(&mut url)?;
                Ok(Locking::HeldBy(url.trim().parse().ok()))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Says where the service can be reached.
    pub(crate) fn announce(&mut self, url: &str) -> std::io::Result<()> {
        self.file.set_len(0)?;
        self.file.rewind()?;
        writeln!(self.file, "{url}")
    }
}

/// Where the data is: beside the SQLite file, or in the storage directory.
fn directory(config: &Config) -> PathBuf {
    match (&config.database, &config.storage) {
        (DatabaseUrl::Sqlite { path }, _) => path.parent().unwrap_or(Path::new(".")).to_path_buf(),
        (DatabaseUrl::Postgres { .. }, StorageUrl::Directory(path)) => path.clone(),
    }
}
