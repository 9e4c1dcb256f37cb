//! The writer of one object on disk: the file is written under a temporary name, synced and renamed.

use std::{
    fs::{File, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    mem,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use sha2::Digest as _;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{READ_BYTES, blocking, partial_path, remove_if_exists};
use crate::{BlobWriter, StorageError};
use media_domain::{
    blob::{ResumeLocation, ResumePoint},
    media::Sha256,
};

/// The size of one write. Up to two of them are in memory for each object that is being written.
const WRITE_BYTES: usize = 512 * 1024;
/// Chunks smaller than this are merged: a system call for each of them would cost more than the copy.
const MIN_UNMERGED_CHUNK_BYTES: usize = 32 * 1024;
/// The number of attempts to lock a file that another writer has locked.
const LOCK_ATTEMPTS: u32 = 10;
/// The time between two attempts to lock a file.
const LOCK_RETRY_DELAY: Duration = Duration::from_millis(100);
/// The disk space that is left free, unless a hundredth of the disk is less.
const RESERVED_DISK_BYTES: u64 = 256 * 1024 * 1024;
/// The number of bytes after which the free space is checked again: the announced size may be missing, and other
/// processes write to the same disk.
const SPACE_CHECK_INTERVAL_BYTES: u64 = 16 * 1024 * 1024;

/// Writes one object. The next chunks are buffered while the previous ones are written to disk.
pub(super) struct DiskWriter {
    path: PathBuf,
    chunks: ChunkBuffer,
    output: Output,
    /// The number of bytes in the file, including those of a write in progress.
    flushed: u64,
    early: EarlySync,
    /// Whether the partial file outlasts the writer.
    kept: bool,
}

/// The file, or the task that is writing to it.
enum Output {
    /// The file does not exist yet. A small file is created together with its bytes: each separate call costs about
    /// as much as writing them.
    Unopened,
    Idle(File),
    Writing(JoinHandle<io::Result<File>>),
    /// A write failed, or the writer was dropped in the middle of one.
    Broken,
}

/// Bytes that wait to be written: large chunks as they arrived, small ones merged.
#[derive(Debug, Default)]
struct ChunkBuffer {
    whole: Vec<Bytes>,
    last: BytesMut,
    bytes: usize,
}

impl ChunkBuffer {
    fn add(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        if chunk.len() < MIN_UNMERGED_CHUNK_BYTES {
            self.last.extend_from_slice(&chunk);
            return;
        }
        self.close();
        self.whole.push(chunk);
    }

    fn close(&mut self) {
        if !self.last.is_empty() {
            self.whole.push(self.last.split().freeze());
        }
    }

    fn write_to(mut self, file: &mut File) -> io::Result<()> {
        self.close();
        self.whole
            .iter()
            .try_for_each(|chunk| file.write_all(chunk))
    }
}

/// Syncs the file while more bytes arrive, so that little is left to sync at the end. The sync uses the same open
/// file description, since the kernel reports a write error only once per description.
#[derive(Default)]
struct EarlySync {
    in_progress: Option<JoinHandle<io::Result<()>>>,
}

impl EarlySync {
    /// Whether no sync is in progress. Fails if the last one failed.
    async fn is_idle(&mut self) -> io::Result<bool> {
        let is_busy = |task: &JoinHandle<_>| !task.is_finished();
        if self.in_progress.as_ref().is_some_and(is_busy) {
            return Ok(false);
        }
        self.end().await.map(|()| true)
    }

    fn begin(&mut self, file: &File) {
        // If the descriptor cannot be duplicated, everything is synced at the end.
        if let Ok(file) = file.try_clone() {
            self.in_progress = Some(spawn_blocking(move || file.sync_data()));
        }
    }

    /// Waits for the sync in progress, if any, and returns its result.
    async fn end(&mut self) -> io::Result<()> {
        let Some(task) = &mut self.in_progress else {
            return Ok(());
        };
        // The task stays in its field while it is awaited: the caller may be cancelled, and the writer used again.
        let ended = task.await.map_err(io::Error::other).flatten();
        self.in_progress = None;
        ended
    }
}

impl DiskWriter {
    /// Creates a writer of a new object with an announced size in bytes (0 if unknown).
    pub(super) async fn create(path: PathBuf, announced: u64) -> Result<Self, StorageError> {
        if announced <= WRITE_BYTES as u64 {
            return Ok(Self::new(path, Output::Unopened, 0));
        }
        blocking(move || {
            let file = create_partial(&path, announced)?;
            Ok(Self::new(path, Output::Idle(file), 0))
        })
        .await
    }

    /// Opens the partial file of an earlier writer if its first `bytes` bytes have the digest `sha256`.
    pub(super) fn resume(path: PathBuf, bytes: u64, sha256: Sha256) -> io::Result<Option<Self>> {
        let mut file = File::options()
            .read(true)
            .write(true)
            .open(partial_path(&path))?;
        // Once the file is locked, no other writer can finish it. A writer that finished it earlier has renamed it.
        if !acquire_lock(&file) || !partial_path(&path).try_exists()? {
            return Ok(None);
        }
        if prefix_digest(&mut file, bytes)? != Some(sha256) {
            return Ok(None);
        }
        // Bytes after the last checkpoint are written again.
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes))?;
        Ok(Some(Self::new(path, Output::Idle(file), bytes)))
    }

    fn new(path: PathBuf, output: Output, flushed: u64) -> Self {
        Self {
            path,
            early: EarlySync::default(),
            chunks: ChunkBuffer::default(),
            output,
            flushed,
            kept: flushed > 0,
        }
    }

    /// Takes the file, after creating it or waiting for the write in progress.
    async fn take_file(&mut self) -> Result<File, StorageError> {
        // The task stays in its field while it is awaited: the caller may be cancelled, and the writer used again.
        match &mut self.output {
            Output::Unopened => {
                let (path, bytes) = (self.path.clone(), self.chunks.bytes as u64);
                // Creation is separate from the write, so that the file is removed if the writer is dropped.
                let file = blocking(move || create_partial(&path, bytes)).await?;
                self.output = Output::Idle(file);
            }
            Output::Writing(task) => {
                let written = task.await.map_err(io::Error::other).flatten();
                self.output = Output::Broken;
                self.output = Output::Idle(written?);
            }
            Output::Idle(_) | Output::Broken => {}
        }
        match mem::replace(&mut self.output, Output::Broken) {
            Output::Idle(file) => Ok(file),
            _ => Err(io::Error::other("an earlier write failed").into()),
        }
    }

    /// Starts to write the buffered chunks.
    async fn flush(&mut self) -> Result<(), StorageError> {
        let end = self.flushed + self.chunks.bytes as u64;
        let is_check_due =
            self.flushed / SPACE_CHECK_INTERVAL_BYTES != end / SPACE_CHECK_INTERVAL_BYTES;
        let sync = is_check_due && self.early.is_idle().await?;
        let mut file = self.take_file().await?;
        // There is no await from here on, so that cancellation cannot leave the writer without its file.
        if sync {
            self.early.begin(&file);
        }
        let chunks = mem::take(&mut self.chunks);
        self.flushed = end;
        let path = self.path.clone();
        self.output = Output::Writing(spawn_blocking(move || {
            if is_check_due {
                check_free_space(&path, 0)?;
            }
            chunks.write_to(&mut file)?;
            Ok(file)
        }));
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for DiskWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StorageError> {
        self.chunks.add(chunk);
        if self.chunks.bytes >= WRITE_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn checkpoint(&mut self) -> Result<Option<ResumePoint>, StorageError> {
        self.flush().await?;
        let file = self.take_file().await?;
        self.output = Output::Idle(file);
        self.kept = true;
        Ok(Some(ResumePoint {
            bytes: self.flushed,
            location: ResumeLocation::Disk,
        }))
    }

    async fn finish(mut self: Box<Self>) -> Result<(), StorageError> {
        let file = match self.output {
            Output::Unopened => {
                // In this state, dropping the writer removes the partial file that is created below.
                self.output = Output::Broken;
                None
            }
            _ => Some(self.take_file().await?),
        };
        self.early.end().await?;
        let rest = mem::take(&mut self.chunks);
        let path = self.path.clone();
        blocking(move || {
            let mut file = match file {
                Some(file) => file,
                None => create_partial(&path, rest.bytes as u64)?,
            };
            rest.write_to(&mut file)?;
            file.sync_all()?;
            std::fs::rename(partial_path(&path), &path)?;
            sync_parent(&path)
        })
        .await?;
        self.kept = true;
        Ok(())
    }

    async fn abort(mut self: Box<Self>) -> Result<(), StorageError> {
        // Dropping removes the partial file.
        self.kept = false;
        Ok(())
    }
}

impl Drop for DiskWriter {
    /// Removes the partial file, unless a later writer can resume from it. A write in progress still has the file
    /// open and does no harm.
    fn drop(&mut self) {
        let was_created = !matches!(self.output, Output::Unopened);
        if was_created
            && !self.kept
            && let Err(error) = remove_if_exists(&partial_path(&self.path))
        {
            // The collector finds it through the table.
            tracing::warn!(%error, "a partial file could not be removed");
        }
    }
}

/// Creates the partial file of an object with an announced size in bytes. Free space is checked first: a full disk
/// would harm more than this one import.
fn create_partial(path: &Path, bytes: u64) -> io::Result<File> {
    check_free_space(path, bytes)?;
    let file = File::options()
        .write(true)
        .create_new(true)
        .open(partial_path(path))?;
    // No other writer can have locked a new file, and some network file systems have no locks: failure is ignored.
    let _ = file.try_lock();
    Ok(file)
}

/// Locks a partial file for as long as it stays open. Returns false if another writer keeps the lock (for example a
/// suspended worker whose lease has expired), or if the file system has no locks. A lock that belongs to a write in
/// progress of a dropped writer is released soon, hence the retries.
fn acquire_lock(file: &File) -> bool {
    for _ in 0..LOCK_ATTEMPTS {
        match file.try_lock() {
            Ok(()) => return true,
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_RETRY_DELAY),
            Err(TryLockError::Error(_)) => return false,
        }
    }
    false
}

/// Computes the digest of a file's first `bytes` bytes. Returns None if the file is shorter.
fn prefix_digest(file: &mut File, bytes: u64) -> io::Result<Option<Sha256>> {
    let mut hasher = sha2::Sha256::new();
    let mut buffer = vec![0; READ_BYTES];
    let mut left = bytes;
    while left > 0 {
        let size = usize::try_from(left).map_or(READ_BYTES, |left| left.min(READ_BYTES));
        match file.read_exact(&mut buffer[..size]) {
            Ok(()) => hasher.update(&buffer[..size]),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return Err(error),
        }
        left -= size as u64;
    }
    Ok(Some(Sha256::from_bytes(hasher.finalize().into())))
}

/// Fails with `StorageFull` if writing `bytes` bytes would leave less free space than is reserved for the database,
/// which may be on the same disk. Succeeds if the file system does not report its free space.
fn check_free_space(path: &Path, bytes: u64) -> io::Result<()> {
    let Ok(space) = rustix::fs::statvfs(path.parent().unwrap_or(path)) else {
        return Ok(());
    };
    let all = space.f_blocks.saturating_mul(space.f_frsize);
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if free < bytes.saturating_add(RESERVED_DISK_BYTES.min(all / 100)) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(())
}

/// Syncs the directory of a file, so that a rename survives a power failure: the name is part of the directory.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
