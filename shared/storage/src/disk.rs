//! Storage in a directory.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    ops::Range,
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::task::{JoinHandle, spawn_blocking};

use super::{BlobStore, BlobStream, BlobWriter, SizeHint, StorageError};
use media_domain::{
    blob::{BlobKey, ResumeLocation, ResumePoint},
    media::Sha256,
};

mod page_cache;
mod writer;

use writer::DiskWriter;

/// The size of one read.
const READ_BYTES: usize = 256 * 1024;
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
        size_hint: SizeHint,
    ) -> Result<Box<dyn BlobWriter>, StorageError> {
        let announced = size_hint.announced.unwrap_or_default();
        let writer = DiskWriter::create(self.path(key), announced).await?;
        Ok(Box::new(writer))
    }

    async fn resume(
        &self,
        key: &BlobKey,
        resume_point: &ResumePoint,
        sha256: Sha256,
    ) -> Result<Option<Box<dyn BlobWriter>>, StorageError> {
        if resume_point.location != ResumeLocation::Disk {
            return Ok(None);
        }
        let (path, bytes) = (self.path(key), resume_point.bytes);
        match blocking(move || DiskWriter::resume(path, bytes, sha256)).await {
            Ok(writer) => Ok(writer.map(|writer| Box::new(writer) as Box<dyn BlobWriter>)),
            Err(StorageError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<BlobStream, StorageError> {
        let path = self.path(key);
        if let Some(bytes) = page_cache::read(&path, &range) {
            return Ok(stream::iter([Ok(bytes)]).boxed());
        }
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

/// Makes the directories that keys begin with, once and durably, so that a write need sync no more
/// than its own.
fn create_directories(root: &Path) -> io::Result<()> {
    std::fs::create_dir_all(root)?;
    for shard in 0..=u8::MAX {
        std::fs::create_dir_all(root.join(format!("{shard:02x}")))?;
    }
    File::open(root)?.sync_all()
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

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StorageError> {
    Ok(spawn_blocking(work).await.map_err(io::Error::other)??)
}
