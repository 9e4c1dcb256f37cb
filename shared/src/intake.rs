//! Takes bytes in, from an origin or an uploader alike: counts, limits, hashes and stores them as
//! they pass, holding no more than a few buffers.

use std::sync::Arc;

use bytes::Bytes;
use sea_orm::DbErr;
use sha2::Digest as _;

use crate::{
    blob_ledger::{BlobLedger, BlobOwner, StagedBlob},
    blob_store::{BlobStore, BlobWriter, Extent, StorageError},
    ids::BlobId,
    media::Sha256,
};

/// How many of the first bytes are kept, to tell what they are.
const HEAD_BYTES: usize = 8 * 1024;

/// What the bytes must be, as the client promised, and how many there may be at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// No more than this many bytes.
    pub max_bytes: u64,
    /// Exactly this many bytes.
    pub size: Option<u64>,
    /// Exactly this digest.
    pub sha256: Option<Sha256>,
}

/// Why bytes were not taken in.
#[derive(Debug, thiserror::Error)]
pub enum IntakeError {
    /// More bytes than allowed.
    #[error("is larger than the {limit} bytes allowed")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// Not the promised number of bytes.
    #[error("has {actual} bytes where {expected} were promised")]
    SizeMismatch {
        /// What was promised.
        expected: u64,
        /// What came; at least, if the rest was not read.
        actual: u64,
    },
    /// Not the promised digest.
    #[error("has the sha256 {actual} where {expected} was promised")]
    ChecksumMismatch {
        /// What was promised.
        expected: Sha256,
        /// What came.
        actual: Sha256,
    },
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The tables could not be read or written.
    #[error(transparent)]
    Database(#[from] DbErr),
}

/// Bytes on their way into storage. Dropped before [`Intake::seal`], it leaves a staged blob that
/// the collector finds; [`Intake::abandon`] saves it the search.
pub struct Intake {
    blobs: BlobLedger,
    blob: StagedBlob,
    writer: Box<dyn BlobWriter>,
    expectation: Expectation,
    hasher: sha2::Sha256,
    size: u64,
    head: Vec<u8>,
}

/// Bytes that are stored, whole and as promised, and wait to be recorded.
#[derive(Clone, Debug)]
pub struct Sealed {
    /// The stored object; staged.
    pub blob_id: BlobId,
    /// How many bytes.
    pub size: u64,
    /// What they hash to.
    pub sha256: Sha256,
    /// The first of them.
    pub head: Vec<u8>,
}

impl Intake {
    /// Enters a blob in the book and opens it in storage. `announced` is the size that the sender
    /// named, if it did.
    pub async fn open(
        blobs: &BlobLedger,
        store: &Arc<dyn BlobStore>,
        owner: BlobOwner,
        expectation: Expectation,
        announced: Option<u64>,
    ) -> Result<Self, IntakeError> {
        let blob = blobs.stage(owner).await?;
        let extent = Extent {
            announced: announced.or(expectation.size),
            most: expectation.max_bytes,
        };
        let writer = match store.create(&blob.key, extent).await {
            Ok(writer) => writer,
            Err(error) => {
                give_up(blobs, blob.id).await;
                return Err(error.into());
            }
        };
        Ok(Self {
            blobs: blobs.clone(),
            blob,
            writer,
            expectation,
            hasher: sha2::Sha256::new(),
            size: 0,
            head: Vec::new(),
        })
    }

    /// The blob that is being written.
    pub fn blob_id(&self) -> BlobId {
        self.blob.id
    }

    /// How many bytes came so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), IntakeError> {
        self.size += chunk.len() as u64;
        self.expectation.check_so_far(self.size)?;
        let head = chunk.len().min(HEAD_BYTES - self.head.len());
        self.head.extend_from_slice(&chunk[..head]);
        self.hasher.update(&chunk);
        Ok(self.writer.write(chunk).await?)
    }

    /// Checks what was promised and makes the bytes durable.
    pub async fn seal(self) -> Result<Sealed, IntakeError> {
        let sha256 = Sha256::from_bytes(self.hasher.finalize().into());
        let sealed = match self.expectation.check_whole(self.size, sha256) {
            Ok(()) => self.writer.finish().await.map_err(IntakeError::from),
            Err(error) => {
                abort(self.writer).await;
                Err(error)
            }
        };
        if let Err(error) = sealed {
            give_up(&self.blobs, self.blob.id).await;
            return Err(error);
        }
        Ok(Sealed {
            blob_id: self.blob.id,
            size: self.size,
            sha256,
            head: self.head,
        })
    }

    /// Gives the bytes up.
    pub async fn abandon(self) {
        abort(self.writer).await;
        give_up(&self.blobs, self.blob.id).await;
    }
}

async fn abort(writer: Box<dyn BlobWriter>) {
    if let Err(error) = writer.abort().await {
        tracing::warn!(%error, "an unfinished object is left to the collector");
    }
}

/// Why the bytes were not taken in says more than why they could not be given up: the collector
/// finds the blob without this, only later.
async fn give_up(blobs: &BlobLedger, id: BlobId) {
    if let Err(error) = blobs.discard(id).await {
        tracing::warn!(%error, "a blob that was given up is left to the collector");
    }
}

impl Expectation {
    /// Refuses a size that is announced before the bytes come.
    pub fn check_announced(&self, size: u64) -> Result<(), IntakeError> {
        self.check_so_far(size)?;
        self.check_size(size)
    }

    fn check_so_far(&self, size: u64) -> Result<(), IntakeError> {
        if size > self.max_bytes {
            return Err(IntakeError::TooLarge {
                limit: self.max_bytes,
            });
        }
        match self.size {
            Some(expected) if size > expected => Err(IntakeError::SizeMismatch {
                expected,
                actual: size,
            }),
            _ => Ok(()),
        }
    }

    fn check_size(&self, actual: u64) -> Result<(), IntakeError> {
        match self.size {
            Some(expected) if actual != expected => {
                Err(IntakeError::SizeMismatch { expected, actual })
            }
            _ => Ok(()),
        }
    }

    fn check_whole(&self, size: u64, sha256: Sha256) -> Result<(), IntakeError> {
        self.check_size(size)?;
        match self.sha256 {
            Some(expected) if sha256 != expected => Err(IntakeError::ChecksumMismatch {
                expected,
                actual: sha256,
            }),
            _ => Ok(()),
        }
    }
}
