//! Storage of objects: one trait, with an implementation for directories and one for S3.
//!
//! Only this crate depends on the AWS SDK. It must not depend on the database: the crates above it decide which objects
//! are needed.

use std::{ops::Range, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use url::Url;

use media_domain::{
    blob::{BlobKey, ResumePoint},
    media::Sha256,
};

pub mod disk;
mod location;
pub mod s3;

pub use location::{S3Location, StorageUrl};

/// A failure of storage.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// There is no such object.
    #[error("the object is not in storage")]
    NotFound,
    /// The disk, the quota or the object store is full.
    #[error("storage is full")]
    Full,
    /// The object store cannot be reached, or refuses requests for a while.
    #[error("the object store does not answer: {0}")]
    Unavailable(String),
    /// The object store refused the request: the keys, the bucket or the permissions are wrong.
    #[error("the object store refuses: {0}")]
    Refused(String),
    /// Any other failure.
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
    /// Whether a retry may succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Io(_))
    }

    /// Whether an operator has to change the configuration before a retry can succeed.
    pub fn is_misconfiguration(&self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// The size that an object may reach.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SizeHint {
    /// The announced size in bytes, if any. It may be wrong.
    pub announced: Option<u64>,
    /// The maximum number of bytes that will be written.
    pub max: u64,
}

/// The headers of the response to a presigned URL, and the URL's lifetime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresignedAnswer {
    /// The media type.
    pub content_type: String,
    /// The `Content-Disposition` (RFC 6266).
    pub content_disposition: String,
    /// The time for which the URL is valid.
    pub valid_for: Duration,
}

/// The bytes of an object, in chunks of bounded size.
pub type BlobStream = BoxStream<'static, Result<Bytes, StorageError>>;

/// A store of objects. An object is written once, as a whole, and never changed.
#[async_trait]
pub trait BlobStore: Send + Sync + 'static {
    /// Starts to write an object. It cannot be read until [`BlobWriter::finish`] has succeeded.
    async fn create(
        &self,
        key: &BlobKey,
        size_hint: SizeHint,
    ) -> Result<Box<dyn BlobWriter>, StorageError>;

    /// Resumes an interrupted write if storage still has the object's first bytes unchanged (`sha256` is their
    /// digest) and no other writer has the object open. Returns None otherwise: the object has to be written again
    /// under another key.
    async fn resume(
        &self,
        key: &BlobKey,
        resume_point: &ResumePoint,
        sha256: Sha256,
    ) -> Result<Option<Box<dyn BlobWriter>>, StorageError>;

    /// Reads the bytes in `range`, which must lie within the object.
    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<BlobStream, StorageError>;

    /// Deletes an object, or the remains of an interrupted write. Succeeds if there is no such object.
    async fn delete(&self, key: &BlobKey) -> Result<(), StorageError>;

    /// Checks that storage can be used now.
    async fn check(&self) -> Result<(), StorageError>;

    /// Returns a URL from which a client can fetch the object directly, or None if this storage has no such URLs.
    async fn presign(
        &self,
        _key: &BlobKey,
        _answer: &PresignedAnswer,
    ) -> Result<Option<Url>, StorageError> {
        Ok(None)
    }
}

/// A writer of one object. An object whose writer is dropped before [`BlobWriter::finish`] cannot be read, but a
/// later writer can resume from the last checkpoint until [`BlobStore::delete`] is called for the key.
#[async_trait]
pub trait BlobWriter: Send {
    /// Appends bytes. A bounded number of them is buffered in memory.
    async fn write(&mut self, chunk: Bytes) -> Result<(), StorageError>;

    /// The granularity of checkpoints, in bytes: a checkpoint's offset is a multiple of it. None if any offset is
    /// possible.
    fn resume_granularity(&self) -> Option<u64> {
        None
    }

    /// Saves the bytes written so far, as far as possible, and returns the point from which a later writer can resume.
    async fn checkpoint(&mut self) -> Result<Option<ResumePoint>, StorageError>;

    /// Makes the object durable and readable.
    async fn finish(self: Box<Self>) -> Result<(), StorageError>;

    /// Discards the object and the bytes written so far.
    async fn abort(self: Box<Self>) -> Result<(), StorageError>;
}

/// Opens storage at a URL.
pub async fn open(url: &StorageUrl) -> Result<Arc<dyn BlobStore>, StorageError> {
    match url {
        StorageUrl::Directory(path) => Ok(Arc::new(disk::DiskStore::open(path.clone()).await?)),
        StorageUrl::S3(location) => Ok(Arc::new(s3::S3Store::open(location).await?)),
    }
}
