//! A lock on local data: only one program at a time can use an SQLite file or a storage directory. The lock file
//! contains the URL of the program that holds the lock.

use std::{
    fs::{File, TryLockError},
    io::{Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
};

/// A lock, held until its last clone is dropped or the process ends.
#[derive(Clone, Debug)]
pub struct FileLock(Arc<File>);

/// The result of an attempt to lock.
#[derive(Debug)]
pub enum Locking {
    /// The caller has acquired the lock.
    Acquired(FileLock),
    /// Another program holds the lock, at this URL if it has announced one.
    HeldBy(Option<String>),
}

impl FileLock {
    /// The lock file of an SQLite file: `media.db.lock` for `media.db`.
    pub fn beside(path: &Path) -> PathBuf {
        let mut name = path.to_owned().into_os_string();
        name.push(".lock");
        name.into()
    }

    /// Tries to lock a file. The file and its directory are created if necessary.
    pub fn try_acquire(path: &Path) -> std::io::Result<Locking> {
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
                Ok(Locking::Acquired(Self(Arc::new(file))))
            }
            Err(TryLockError::WouldBlock) => {
                let mut url = String::new();
                file.read_to_string(&mut url)?;
                let url = url.trim();
                Ok(Locking::HeldBy((!url.is_empty()).then(|| url.to_owned())))
            }
            Err(TryLockError::Error(error)) => Err(error),
        }
    }

    /// Writes the URL of this program to the lock file.
    pub fn announce(&self, url: &str) -> std::io::Result<()> {
        let mut file = &*self.0;
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{url}")
    }

    /// Removes the URL of this program from the lock file.
    pub fn withdraw(&self) -> std::io::Result<()> {
        self.0.set_len(0)
    }
}
