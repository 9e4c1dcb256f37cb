//! Where bytes are kept: one trait, with an implementation for each kind of storage.

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use url::Url;

use crate::{config::StorageUrl, ids::BlobId, media::Sha256};

pub mod disk;
pub mod s3;

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
    /// The object store cannot be reached, or asks to be left alone for a while.
    #[error("the object store does not answer: {0}")]
    Unavailable(String),
    /// The object store answers, and refuses: keys, bucket or permissions are not right.
    #[error("the object store refuses: {0}")]
    Refused(String),
    /// Anything else that went wrong.
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

impl StorageError {
    /// Whether the same may work later, without anything to be given up for it.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Io(_))
    }

    /// Whether an operator has to change something before it can work.
    pub fn is_misconfiguration(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// How large an object may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// What was announced, if anything; not to be relied on.
    pub announced: Option<u64>,
    /// No more than this will be written.
    pub most: u64,
}

/// The first bytes of an object that is not whole yet, which outlast their writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Prefix {
    /// How many.
    pub bytes: u64,
    /// Where storage has them.
    pub kept: Kept,
}

/// Where storage has the first bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "storage", rename_all = "snake_case")]
pub enum Kept {
    /// In the file that will be the object.
    Disk,
    /// In the first parts of an upload.
    S3 {
        /// The upload's name.
        upload: String,
        /// The size of each part.
        part_bytes: u64,
        /// What the entity tags of the parts hash to, one after the other.
        tags: Sha256,
    },
}

/// What storage answers to a client that fetches an object by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresignedAnswer {
    /// The media type.
    pub content_type: String,
    /// What to do with the bytes (RFC 6266).
    pub content_disposition: String,
    /// For how long.
    pub valid_for: Duration,
}

/// The bytes of an object, in pieces of bounded size.
pub type BlobStream = BoxStream<'static, Result<Bytes, StorageError>>;

/// Keeps objects. An object is written once, as a whole, and never changed.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Starts to write an object. It cannot be read until [`BlobWriter::finish`] has succeeded.
    async fn create(
        &self,
        key: &BlobKey,
        extent: Extent,
    ) -> Result<Box<dyn BlobWriter>, StorageError>;

    /// Goes on with an object that an earlier writer left, if storage still has the first bytes of it
    /// just as they were (`sha256` is theirs) and nobody else is writing it. Nothing if not: then the
    /// object has to be written anew under another key.
    async fn resume(
        &self,
        key: &BlobKey,
        prefix: &Prefix,
        sha256: Sha256,
    ) -> Result<Option<Box<dyn BlobWriter>>, StorageError>;

    /// Reads the bytes in `range`, which must lie within the object.
    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<BlobStream, StorageError>;

    /// Removes an object and whatever an interrupted write left of it. Nothing there is no error.
    async fn delete(&self, key: &BlobKey) -> Result<(), StorageError>;

    /// Whether storage can be used now.
    async fn check(&self) -> Result<(), StorageError>;

    /// Where a client can fetch an object by itself, if this storage has such places.
    async fn presign(
        &self,
        _key: &BlobKey,
        _answer: &PresignedAnswer,
    ) -> Result<Option<Url>, StorageError> {
        Ok(None)
    }
}

/// Writes one object. Dropped before [`BlobWriter::finish`], it leaves nothing that can be read: what
/// a later writer can go on from, until [`BlobStore::delete`] is called for its key.
#[async_trait]
pub trait BlobWriter: Send {
    /// Adds bytes at the end. Holds at most a bounded number of them in memory.
    async fn write(&mut self, chunk: Bytes) -> Result<(), StorageError>;

    /// Bytes can be kept at multiples of this only; anywhere, if there is none.
    fn unit(&self) -> Option<u64> {
        None
    }

    /// How many of the first bytes a later writer could go on from, whatever becomes of this one.
    async fn keep(&mut self) -> Result<Option<Prefix>, StorageError>;

    /// Makes the object durable and readable.
    async fn finish(self: Box<Self>) -> Result<(), StorageError>;

    /// Gives the object up and removes what was written of it.
    async fn abort(self: Box<Self>) -> Result<(), StorageError>;
}

/// Opens the storage that the configuration names.
pub async fn open(url: &StorageUrl) -> Result<Arc<dyn BlobStore>, StorageError> {
    match url {
        StorageUrl::Directory(path) => Ok(Arc::new(disk::DiskStore::open(path.clone()).await?)),
        StorageUrl::S3(location) => Ok(Arc::new(s3::S3Store::open(location).await?)),
    }
}
