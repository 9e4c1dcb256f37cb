//! Where bytes are kept: one trait, with an implementation for each kind of storage.

use std::{ops::Range, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;

use crate::{config::StorageUrl, ids::BlobId};

pub mod disk;

/// Names an object in storage. Made of our own identifiers, never of a client's text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlobKey(String);

impl BlobKey {
    /// The key of a blob. The last digits of a UUIDv7 are random, so they spread the objects
    /// evenly over 256 directories.
    pub fn of(id: BlobId) -> Self {
        let hex = id.0.simple().to_string();
        Self(format!("{}/{hex}", &hex[30..]))
    }

    /// A key as the `blobs` table holds it.
    pub fn from_stored(key: &str) -> Self {
        Self(key.to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why storage did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is no such object.
    #[error("the object is not in storage")]
    NotFound,
    /// There is no room for more.
    #[error("storage is full")]
    Full,
    /// Anything else that went wrong on disk.
    #[error("storage failed: {0}")]
    Io(#[source] std::io::Error),
}

impl From<std::io::Error> for StorageError {
    fn from(error: std::io::Error) -> Self {
        match error.kind() {
            std::io::ErrorKind::NotFound => Self::NotFound,
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Self::Full,
            _ => Self::Io(error),
        }
    }
}

/// The bytes of an object, in pieces of bounded size.
pub type BlobStream = BoxStream<'static, Result<Bytes, StorageError>>;

/// Keeps objects. An object is written once, as a whole, and never changed.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Starts to write an object. It cannot be read until [`BlobWriter::finish`] has succeeded.
    async fn create(&self, key: &BlobKey) -> Result<Box<dyn BlobWriter>, StorageError>;

    /// Reads the bytes in `range`, which must lie within the object.
    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<BlobStream, StorageError>;

    /// Removes an object and whatever an interrupted write left of it. Nothing there is no error.
    async fn delete(&self, key: &BlobKey) -> Result<(), StorageError>;

    /// Whether storage can be used now.
    async fn check(&self) -> Result<(), StorageError>;
}

/// Writes one object. Dropped before [`BlobWriter::finish`], it leaves nothing that can be read.
#[async_trait]
pub trait BlobWriter: Send {
    /// Adds bytes at the end. Holds at most a bounded number of them in memory.
    async fn write(&mut self, chunk: Bytes) -> Result<(), StorageError>;

    /// Makes the object durable and readable.
    async fn finish(self: Box<Self>) -> Result<(), StorageError>;
}

/// Opens the storage that the configuration names.
pub async fn open(url: &StorageUrl) -> Result<Arc<dyn BlobStore>, StorageError> {
    match url {
        StorageUrl::Directory(path) => Ok(Arc::new(disk::DiskStore::open(path.clone()).await?)),
    }
}
