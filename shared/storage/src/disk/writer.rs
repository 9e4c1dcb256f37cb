//! Writing one object to disk: under a temporary name, synced, renamed.

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

use super::{READ_BYTES, blocking, partial, remove_if_there};
use crate::{BlobWriter, StorageError};
use media_domain::{
    blob::{ResumeLocation, ResumePoint},
    media::Sha256,
};

/// The size of one write. Two of them are held for each object that is being written.
const WRITE_BYTES: usize = 512 * 1024;
/// Pieces that are smaller are put together: a call for each would cost more than the copy.
const LARGE_PIECE: usize = 32 * 1024;
/// How often, and at what distance, a file is tried that another writer holds.
const LOCK_TRIES: u32 = 10;
const LOCK_PAUSE: Duration = Duration::from_millis(100);
/// What is left free, or a hundredth of the disk if that is less.
const RESERVE: u64 = 256 * 1024 * 1024;
/// After how many bytes it is looked again whether there is room: nobody may have said how many come, and
/// others write as well.
const LOOK_AGAIN: u64 = 16 * 1024 * 1024;

/// Writes one object, some pieces at a time: while they are on their way to the disk, the next gather.
pub(super) struct DiskWriter {
    path: PathBuf,
    pieces: Pieces,
    output: Output,
    /// Bytes in the file, those on their way included.
    flushed: u64,
    early: EarlySync,
    /// Whether the partial file outlasts the writer.
    kept: bool,
}

/// The file, or the task that has it for the moment.
enum Output {
    /// Not there yet: for what is small, the file is made when its bytes are, as each call of its own costs
    /// about as much as writing them.
    Unopened,
    Idle(File),
    Writing(JoinHandle<io::Result<File>>),
    /// A write failed, or the writer was dropped in the middle of one.
    Broken,
}

/// Bytes that wait to be written: large pieces as they came, small ones put together.
#[derive(Debug, Default)]
struct Pieces {
    whole: Vec<Bytes>,
    last: BytesMut,
    bytes: usize,
}

impl Pieces {
    fn add(&mut self, piece: Bytes) {
        self.bytes += piece.len();
        if piece.len() < LARGE_PIECE {
            self.last.extend_from_slice(&piece);
            return;
        }
        self.close();
        self.whole.push(piece);
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
            .try_for_each(|piece| file.write_all(piece))
    }
}

/// Brings what was written to the disk while more comes, so that little is left to wait for at the end.
/// Through the same open file: what the disk refuses is told once, here or at the end.
#[derive(Default)]
struct EarlySync {
    under_way: Option<JoinHandle<io::Result<()>>>,
}

impl EarlySync {
    /// Whether another can begin: once the one before has ended, and well.
    async fn is_free(&mut self) -> io::Result<bool> {
        let is_busy = |task: &JoinHandle<_>| !task.is_finished();
        if self.under_way.as_ref().is_some_and(is_busy) {
            return Ok(false);
        }
        self.end().await.map(|()| true)
    }

    fn begin(&mut self, file: &File) {
        // Where that is refused, all is synced at the end.
        if let Ok(file) = file.try_clone() {
            self.under_way = Some(spawn_blocking(move || file.sync_data()));
        }
    }

    /// Waits for the one under way, and says what became of it.
    async fn end(&mut self) -> io::Result<()> {
        let Some(task) = &mut self.under_way else {
            return Ok(());
        };
        // In place: whoever waits here may be dropped, and the writer be used again.
        let ended = task.await.map_err(io::Error::other).flatten();
        self.under_way = None;
        ended
    }
}

impl DiskWriter {
    /// Writes a new object, of which so many bytes are announced.
    pub(super) async fn create(path: PathBuf, announced: u64) -> Result<Self, StorageError> {
        if announced <= WRITE_BYTES as u64 {
            return Ok(Self::new(path, Output::Unopened, 0));
        }
        blocking(move || {
            let file = make_partial(&path, announced)?;
            Ok(Self::new(path, Output::Idle(file), 0))
        })
        .await
    }

    /// Opens what an earlier writer left, if it is still the same.
    pub(super) fn resume(path: PathBuf, bytes: u64, sha256: Sha256) -> io::Result<Option<Self>> {
        let mut file = File::options()
            .read(true)
            .write(true)
            .open(partial(&path))?;
        // Once it is held, no other can finish it; one that has done so already has renamed it.
        if !is_mine(&file) || !partial(&path).try_exists()? {
            return Ok(None);
        }
        if digest_of(&mut file, bytes)? != Some(sha256) {
            return Ok(None);
        }
        // What came after the last checkpoint comes again.
        file.set_len(bytes)?;
        file.seek(SeekFrom::Start(bytes))?;
        Ok(Some(Self::new(path, Output::Idle(file), bytes)))
    }

    fn new(path: PathBuf, output: Output, flushed: u64) -> Self {
        Self {
            path,
            early: EarlySync::default(),
            pieces: Pieces::default(),
            output,
            flushed,
            kept: flushed > 0,
        }
    }

    /// Takes the file, once it is made and no write is under way.
    async fn take_file(&mut self) -> Result<File, StorageError> {
        // In place: whoever waits here may be dropped, and the writer be used again.
        match &mut self.output {
            Output::Unopened => {
                let (path, bytes) = (self.path.clone(), self.pieces.bytes as u64);
                // Not with the write: what is there by then is removed with the writer.
                let file = blocking(move || make_partial(&path, bytes)).await?;
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

    /// Sends what has gathered on its way.
    async fn flush(&mut self) -> Result<(), StorageError> {
        let end = self.flushed + self.pieces.bytes as u64;
        let look = self.flushed / LOOK_AGAIN != end / LOOK_AGAIN;
        let sync = look && self.early.is_free().await?;
        let mut file = self.take_file().await?;
        // From here on nothing waits: the writer is whole again at its end.
        if sync {
            self.early.begin(&file);
        }
        let pieces = mem::take(&mut self.pieces);
        self.flushed = end;
        let path = self.path.clone();
        self.output = Output::Writing(spawn_blocking(move || {
            if look {
                check_room(&path, 0)?;
            }
            pieces.write_to(&mut file)?;
            Ok(file)
        }));
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for DiskWriter {
    async fn write(&mut self, chunk: Bytes) -> Result<(), StorageError> {
        self.pieces.add(chunk);
        if self.pieces.bytes >= WRITE_BYTES {
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
                // What is made from here on is removed with the writer, unless it is whole.
                self.output = Output::Broken;
                None
            }
            _ => Some(self.take_file().await?),
        };
        self.early.end().await?;
        let rest = mem::take(&mut self.pieces);
        let path = self.path.clone();
        blocking(move || {
            let mut file = match file {
                Some(file) => file,
                None => make_partial(&path, rest.bytes as u64)?,
            };
            rest.write_to(&mut file)?;
            file.sync_all()?;
            std::fs::rename(partial(&path), &path)?;
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
    /// Removes the partial file, unless a later writer can go on from it. A write still under way
    /// keeps its open file and harms nothing.
    fn drop(&mut self) {
        let is_there = !matches!(self.output, Output::Unopened);
        if is_there
            && !self.kept
            && let Err(error) = remove_if_there(&partial(&self.path))
        {
            // The collector will find it through the table.
            tracing::warn!(%error, "a partial file could not be removed");
        }
    }
}

/// Makes the file of an object of which so many bytes are announced. Before the first byte: a full disk harms
/// more than one import.
fn make_partial(path: &Path, bytes: u64) -> io::Result<File> {
    check_room(path, bytes)?;
    let file = File::options()
        .write(true)
        .create_new(true)
        .open(partial(path))?;
    // Nobody else can hold a file that was not there; some network file systems have no locks.
    let _ = file.try_lock();
    Ok(file)
}

/// Takes hold of a partial file for as long as it stays open. Says no if another writer has it (one
/// that is frozen, say, and does not know yet that its job is another's), or if nothing can tell. A
/// write that was left under way ends soon.
fn is_mine(file: &File) -> bool {
    for _ in 0..LOCK_TRIES {
        match file.try_lock() {
            Ok(()) => return true,
            Err(TryLockError::WouldBlock) => std::thread::sleep(LOCK_PAUSE),
            Err(TryLockError::Error(_)) => return false,
        }
    }
    false
}

/// What the first bytes of a file hash to; nothing if there are fewer.
fn digest_of(file: &mut File, bytes: u64) -> io::Result<Option<Sha256>> {
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

/// Makes sure that so many bytes fit beside a file and leave some room for the tables, which may be on the same disk, as
/// far as the file system says.
fn check_room(path: &Path, bytes: u64) -> io::Result<()> {
    let Ok(space) = rustix::fs::statvfs(path.parent().unwrap_or(path)) else {
        return Ok(());
    };
    let all = space.f_blocks.saturating_mul(space.f_frsize);
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if free < bytes.saturating_add(RESERVE.min(all / 100)) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(())
}

/// Makes a rename survive a power cut: the new name is part of the directory, not of the file.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}
