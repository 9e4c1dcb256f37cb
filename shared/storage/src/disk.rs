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
/// The suffix of an object's file until it is complete.
const PARTIAL_SUFFIX: &str = ".partial";

/// Keeps each object in a file of its own: written under a temporary name, synced, renamed.
#[derive(Clone, Debug)]
pub struct DiskStore {
    root: PathBuf,
}

impl DiskStore {
    /// Opens the directory, creating it if necessary.
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
            read_chunk(file, left)
        })
        .await?;
        Ok(stream::try_unfold(Some(ReadAhead::Ready(first)), ReadAhead::next).boxed())
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), StorageError> {
        let path = self.path(key);
        blocking(move || {
            remove_if_exists(&partial_path(&path))?;
            remove_if_exists(&path)
        })
        .await
    }

    async fn check(&self) -> Result<(), StorageError> {
        let root = self.root.clone();
        blocking(move || std::fs::metadata(root).map(|_| ())).await
    }
}

/// A chunk of a file, and what is needed to read the next one.
struct Chunk {
    bytes: Bytes,
    file: File,
    left: u64,
}

/// A chunk that was read, or is being read ahead while the one before it is sent.
enum ReadAhead {
    Ready(Chunk),
    InProgress(JoinHandle<io::Result<Chunk>>),
}

impl ReadAhead {
    async fn next(this: Option<Self>) -> Result<Option<(Bytes, Option<Self>)>, StorageError> {
        let chunk = match this {
            None => return Ok(None),
            Some(Self::Ready(chunk)) => chunk,
            Some(Self::InProgress(task)) => task.await.map_err(io::Error::other).flatten()?,
        };
        let Chunk { bytes, file, left } = chunk;
        if bytes.is_empty() {
            return Ok(None);
        }
        let next =
            (left > 0).then(|| Self::InProgress(spawn_blocking(move || read_chunk(file, left))));
        Ok(Some((bytes, next)))
    }
}

fn read_chunk(mut file: File, left: u64) -> io::Result<Chunk> {
    let size = left.min(READ_BYTES as u64);
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(READ_BYTES));
    let read = (&mut file).take(size).read_to_end(&mut bytes)?;
    // A file shorter than its record is an error: the client must not take a truncated response for a complete one.
    if read as u64 != size {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Chunk {
        bytes: bytes.into(),
        file,
        left: left - size,
    })
}

/// Creates the directories of all key prefixes durably, so that a write only has to sync the directory of its own
/// file.
fn create_directories(root: &Path) -> io::Result<()> {
    std::fs::create_dir_all(root)?;
    for shard in 0..=u8::MAX {
        std::fs::create_dir_all(root.join(format!("{shard:02x}")))?;
    }
    File::open(root)?.sync_all()
}

fn partial_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(PARTIAL_SUFFIX);
    PathBuf::from(name)
}

fn remove_if_exists(path: &Path) -> io::Result<()> {
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
