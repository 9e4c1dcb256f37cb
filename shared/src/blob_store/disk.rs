//! Storage in a directory.

use std::{
    fs::{File, TryLockError},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    ops::Range,
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, stream};
use sha2::Digest as _;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{BlobKey, BlobStore, BlobStream, BlobWriter, Extent, Kept, Prefix, StorageError};
use crate::media::Sha256;

/// The size of one read.
const READ_BYTES: usize = 256 * 1024;
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
/// What an object's file is called until it is whole.
const PARTIAL_SUFFIX: &str = ".partial";

/// Keeps each object in a file of its own: written under a temporary name, synced, renamed.
#[derive(Clone, Debug)]
pub struct DiskStore {
    root: PathBuf,
}

impl DiskStore {
    /// Opens the directory, creating it if it is not there.
    pub async fn open(root: PathBuf) -> Result<Self, StorageError> {
        blocking(move || {
            create_directories(&root)?;
            Ok(Self { root })
        })
        .await
    }

    fn path(&self, key: &BlobKey) -> PathBuf {
        self.root.join(key.as_str())
    }
}

#[async_trait]
impl BlobStore for DiskStore {
    async fn create(
        &self,
        key: &BlobKey,
        extent: Extent,
    ) -> Result<Box<dyn BlobWriter>, StorageError> {
        let path = self.path(key);
        let root = self.root.clone();
        let announced = extent.announced.unwrap_or_default();
        if announced <= WRITE_BYTES as u64 {
            return Ok(Box::new(DiskWriter::new(path, Output::Unopened, 0)));
        }
        let writer = blocking(move || {
            // Before the first byte: a full disk harms more than one import.
            check_room(&root, announced)?;
            let file = create_partial(&path)?;
            Ok(DiskWriter::new(path, Output::Idle(file), 0))
        })
        .await?;
        Ok(Box::new(writer))
    }

    async fn resume(
        &self,
        key: &BlobKey,
        prefix: &Prefix,
        sha256: Sha256,
    ) -> Result<Option<Box<dyn BlobWriter>>, StorageError> {
        if prefix.kept != Kept::Disk {
            return Ok(None);
        }
        let (path, bytes) = (self.path(key), prefix.bytes);
        match blocking(move || DiskWriter::resume(path, bytes, sha256)).await {
            Ok(writer) => Ok(writer.map(|writer| Box::new(writer) as Box<dyn BlobWriter>)),
            Err(StorageError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<BlobStream, StorageError> {
        let path = self.path(key);
        let left = range.end.saturating_sub(range.start);
        let first = blocking(move || {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::Start(range.start))?;
            read_piece(file, left)
        })
        .await?;
        Ok(stream::try_unfold(Some(Reading::Done(first)), Reading::next).boxed())
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), StorageError> {
        let path = self.path(key);
        blocking(move || {
            remove_if_there(&partial(&path))?;
            remove_if_there(&path)
        })
        .await
    }

    async fn check(&self) -> Result<(), StorageError> {
        let root = self.root.clone();
        blocking(move || std::fs::metadata(root).map(|_| ())).await
    }
}

/// A piece of a file, and the rest.
struct Piece {
    bytes: Bytes,
    file: File,
    left: u64,
}

/// A piece that was read, or is being read while the one before it goes out.
enum Reading {
    Done(Piece),
    UnderWay(JoinHandle<io::Result<Piece>>),
}

impl Reading {
    async fn next(this: Option<Self>) -> Result<Option<(Bytes, Option<Self>)>, StorageError> {
        let piece = match this {
            None => return Ok(None),
            Some(Self::Done(piece)) => piece,
            Some(Self::UnderWay(task)) => task.await.map_err(io::Error::other).flatten()?,
        };
        let Piece { bytes, file, left } = piece;
        if bytes.is_empty() {
            return Ok(None);
        }
        let next =
            (left > 0).then(|| Self::UnderWay(spawn_blocking(move || read_piece(file, left))));
        Ok(Some((bytes, next)))
    }
}

fn read_piece(mut file: File, left: u64) -> io::Result<Piece> {
    let size = left.min(READ_BYTES as u64);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(READ_BYTES));
    let read = (&mut file).take(size).read_to_end(&mut bytes)?;
    // A file that is shorter than its record must break the answer off, never end it early.
    if read as u64 != size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Piece {
        bytes: bytes.into(),
        file,
        left: left - size,
    })
}

/// Writes one object, some pieces at a time: while they are on their way to the disk, the next gather.
struct DiskWriter {
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
    /// Opens what an earlier writer left, if it is still the same.
    fn resume(path: PathBuf, bytes: u64, sha256: Sha256) -> io::Result<Option<Self>> {
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

    /// Waits for the write under way and takes the file, if it was opened.
    async fn take_output(&mut self) -> Result<Option<File>, StorageError> {
        // In place: whoever waits here may be dropped, and the writer be used again.
        if let Output::Writing(task) = &mut self.output {
            let written = task.await.map_err(io::Error::other).flatten();
            self.output = Output::Broken;
            self.output = Output::Idle(written?);
        }
        match std::mem::replace(&mut self.output, Output::Broken) {
            Output::Unopened => Ok(None),
            Output::Idle(file) => Ok(Some(file)),
            Output::Writing(_) | Output::Broken => {
                Err(io::Error::other("an earlier write failed").into())
            }
        }
    }

    /// Makes the file, if it was not yet: what is there by then is removed with the writer.
    async fn open(&mut self) -> Result<(), StorageError> {
        if matches!(self.output, Output::Unopened) {
            let (path, bytes) = (self.path.clone(), self.pieces.bytes);
            let file = blocking(move || opened(None, &path, bytes)).await?;
            self.output = Output::Idle(file);
        }
        Ok(())
    }

    /// Sends what has gathered on its way.
    async fn flush(&mut self) -> Result<(), StorageError> {
        let end = self.flushed + self.pieces.bytes as u64;
        let look = self.flushed / LOOK_AGAIN != end / LOOK_AGAIN;
        let sync = look && self.early.is_free().await?;
        self.open().await?;
        let file = self.take_output().await?;
        // From here on nothing waits: the writer is whole again at its end.
        if let Some(file) = file.as_ref().filter(|_| sync) {
            self.early.begin(file);
        }
        let pieces = std::mem::take(&mut self.pieces);
        self.flushed = end;
        let path = self.path.clone();
        self.output = Output::Writing(spawn_blocking(move || {
            if look {
                check_room(path.parent().unwrap_or(&path), 0)?;
            }
            let mut file = opened(file, &path, pieces.bytes)?;
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

    async fn keep(&mut self) -> Result<Option<Prefix>, StorageError> {
        self.flush().await?;
        if let Some(file) = self.take_output().await? {
            self.output = Output::Idle(file);
        }
        self.kept = true;
        Ok(Some(Prefix {
            bytes: self.flushed,
            kept: Kept::Disk,
        }))
    }

    async fn finish(mut self: Box<Self>) -> Result<(), StorageError> {
        let file = self.take_output().await?;
        self.early.end().await?;
        let rest = std::mem::take(&mut self.pieces);
        let path = self.path.clone();
        blocking(move || {
            let mut file = opened(file, &path, rest.bytes)?;
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

/// The file of an object of which so many bytes are to be written, made if it was not yet.
fn opened(file: Option<File>, path: &Path, bytes: usize) -> io::Result<File> {
    if let Some(file) = file {
        return Ok(file);
    }
    check_room(path.parent().unwrap_or(path), bytes as u64)?;
    create_partial(path)
}

fn create_partial(path: &Path) -> io::Result<File> {
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

/// Makes the directories that keys begin with, once and durably, so that a write need sync no more
/// than its own.
fn create_directories(root: &Path) -> io::Result<()> {
    std::fs::create_dir_all(root)?;
    for shard in 0..=u8::MAX {
        std::fs::create_dir_all(root.join(format!("{shard:02x}")))?;
    }
    File::open(root)?.sync_all()
}

/// Makes sure that so many bytes fit and leave some room for the tables, which may be on the same disk, as
/// far as the file system says.
fn check_room(directory: &Path, bytes: u64) -> io::Result<()> {
    let Ok(space) = rustix::fs::statvfs(directory) else {
        return Ok(());
    };
    let all = space.f_blocks.saturating_mul(space.f_frsize);
    let free = space.f_bavail.saturating_mul(space.f_frsize);
    if free < bytes.saturating_add(RESERVE.min(all / 100)) {
        return Err(io::ErrorKind::StorageFull.into());
    }
    Ok(())
}

fn partial(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PARTIAL_SUFFIX);
    PathBuf::from(name)
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Makes a rename survive a power cut: the new name is part of the directory, not of the file.
fn sync_parent(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(parent) => File::open(parent)?.sync_all(),
        None => Ok(()),
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StorageError> {
    Ok(spawn_blocking(work).await.map_err(io::Error::other)??)
}
