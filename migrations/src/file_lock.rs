//! A lock that one program has on data on this machine: SQLite files and storage directories are for one
//! program at a time. The locked file says where the program that has it can be reached.

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
    /// The lock is the caller's.
    Acquired(FileLock),
    /// Another program has it: at this URL, if it has said so.
    HeldBy(Option<String>),
}

impl FileLock {
    /// The file that is locked for a SQLite file: `media.db.lock` for `media.db`.
    pub fn beside(path: &Path) -> PathBuf {
        let mut name = path.to_owned().into_os_string();
        name.push(".lock");
        name.into()
    }

    /// Tries to lock a file, and creates it and its directory if they are not there.
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

    /// Says where the program can be reached.
    pub fn announce(&self, url: &str) -> std::io::Result<()> {
        let mut file = &*self.0;
        file.set_len(0)?;
        file.rewind()?;
        writeln!(file, "{url}")
    }

    /// Says that the program can no longer be reached.
    pub fn withdraw(&self) -> std::io::Result<()> {
        self.0.set_len(0)
    }
}
