//! Takes bytes in, from an origin or an uploader alike: counts, limits, hashes and stores them as
//! they pass, holding no more than a few buffers.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use sea_orm::DbErr;
use sha2::Digest as _;
use tokio::time::timeout;

use crate::{
    blob_ledger::{BlobLedger, BlobOwner, ChargeError, Checkpoint, StagedBlob},
    blob_store::{BlobKey, BlobStore, BlobWriter, Extent, StorageError},
    ids::BlobId,
    media::Sha256,
};

mod checkpoint;
mod quota;

use checkpoint::Checkpoints;
use quota::Quota;

/// How long the database has for a checkpoint.
const LEDGER_LIMIT: Duration = Duration::from_secs(5);
/// How many of the first bytes are kept, to tell what they are: pictures name their size behind what
/// cameras note.
pub const HEAD_BYTES: usize = 128 * 1024;

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
    /// The project may not store so much.
    #[error(
        "does not fit into the {limit} bytes that its project may store; delete something of it"
    )]
    OverQuota {
        /// What the project may store, in bytes.
        limit: u64,
    },
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The tables could not be read or written.
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl From<ChargeError> for IntakeError {
    fn from(error: ChargeError) -> Self {
        match error {
            ChargeError::OverLimit { limit } => Self::OverQuota { limit },
            ChargeError::BlobLost => Self::Storage(StorageError::NotFound),
            ChargeError::Database(error) => Self::Database(error),
        }
    }
}

/// Bytes on their way into storage. Dropped before [`Intake::seal`], it leaves a staged blob that
/// the collector finds; [`Intake::abandon`] saves it the search.
pub struct Intake {
    blobs: BlobLedger,
    store: Arc<dyn BlobStore>,
    blob: StagedBlob,
    writer: Box<dyn BlobWriter>,
    expectation: Expectation,
    hasher: sha2::Sha256,
    size: u64,
    head: Vec<u8>,
    checkpoints: Checkpoints,
    quota: Quota,
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
    /// Enters a blob in the book, for a project if there is one, and opens it in storage. `announced`
    /// is the size that the sender named, if it did.
    pub async fn open(
        blobs: &BlobLedger,
        store: &Arc<dyn BlobStore>,
        (owner, project): (BlobOwner, Option<&str>),
        expectation: Expectation,
        announced: Option<u64>,
    ) -> Result<Self, IntakeError> {
        let blob = blobs.stage(owner, project).await?;
        let extent = Extent {
            announced: announced.or(expectation.size),
            most: expectation.max_bytes,
        };
        let mut quota = Quota::of(&blob);
        // What cannot fit is not even begun.
        if let Err(error) = quota
            .cover(blobs, &blob, extent.announced.unwrap_or(0))
            .await
        {
            give_up(blobs, &blob).await;
            return Err(error.into());
        }
        let writer = match store.create(&blob.key, extent).await {
            Ok(writer) => writer,
            Err(error) => {
                give_up(blobs, &blob).await;
                return Err(error.into());
            }
        };
        Ok(Self {
            blobs: blobs.clone(),
            store: Arc::clone(store),
            blob,
            writer,
            expectation,
            hasher: sha2::Sha256::new(),
            size: 0,
            head: Vec::new(),
            checkpoints: Checkpoints::after(0),
            quota,
        })
    }

    /// Goes on where an earlier attempt at the same job has stopped, if storage has what it left just
    /// as it was. What cannot be gone on with is given up.
    pub async fn resume(
        blobs: &BlobLedger,
        store: &Arc<dyn BlobStore>,
        (blob, checkpoint): (StagedBlob, Checkpoint),
        expectation: Expectation,
    ) -> Result<Option<Self>, IntakeError> {
        let size = checkpoint.prefix.bytes;
        let hasher = checkpoint::restore(&checkpoint.sha256_state);
        let allowed = expectation.check_so_far(size).is_ok();
        let Some(hasher) = hasher.filter(|_| allowed) else {
            give_up(blobs, &blob).await;
            return Ok(None);
        };
        let sha256 = digest(&hasher);
        let resumed = match store.resume(&blob.key, &checkpoint.prefix, sha256).await {
            // It may be there when storage is back.
            Err(error @ StorageError::Unavailable(_)) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "what an earlier attempt left cannot be gone on with");
                None
            }
            Ok(resumed) => resumed,
        };
        let Some(writer) = resumed else {
            give_up(blobs, &blob).await;
            return Ok(None);
        };
        Ok(Some(Self {
            blobs: blobs.clone(),
            store: Arc::clone(store),
            quota: Quota::of(&blob),
            blob,
            writer,
            expectation,
            hasher,
            size,
            head: Vec::new(),
            checkpoints: Checkpoints::after(size),
        }))
    }

    /// The blob that is being written.
    pub fn blob(&self) -> &StagedBlob {
        &self.blob
    }

    /// The first bytes, up to [`HEAD_BYTES`]; none of those that came in an earlier attempt.
    pub fn head(&self) -> &[u8] {
        &self.head
    }

    /// How many bytes came so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Takes the next bytes.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), IntakeError> {
        self.size += chunk.len() as u64;
        self.expectation.check_so_far(self.size)?;
        self.quota
            .cover_some(&self.blobs, &self.blob, self.size)
            .await?;
        let before = self.size - chunk.len() as u64;
        if before == self.head.len() as u64 {
            let head = chunk.len().min(HEAD_BYTES - self.head.len());
            self.head.extend_from_slice(&chunk[..head]);
        }
        self.checkpoints
            .hash(&mut self.hasher, before, &chunk, self.writer.unit());
        Ok(self.writer.write(chunk).await?)
    }

    /// Whether the first bytes came in an earlier attempt.
    pub fn is_resumed(&self) -> bool {
        self.checkpoints.is_resumed()
    }

    /// Whether a later attempt could go on from something.
    pub fn has_checkpoint(&self) -> bool {
        self.checkpoints.last() > 0
    }

    /// Whether enough has come since the last checkpoint for another one.
    pub fn is_checkpoint_due(&self) -> bool {
        self.checkpoints.is_due(self.size)
    }

    /// Writes down what a later attempt can go on from, whatever becomes of this one. `origin` tells
    /// it whether the origin still has the same bytes. Nothing is written where there is nothing new to
    /// go on from.
    pub async fn checkpoint(&mut self, origin: &serde_json::Value) -> Result<(), IntakeError> {
        self.checkpoints.tried();
        let last = self.checkpoints.last();
        let kept = self.writer.keep().await?;
        let Some(prefix) = kept.filter(|prefix| prefix.bytes != last) else {
            return Ok(());
        };
        let bytes = prefix.bytes;
        let state = self.checkpoints.state_at(bytes, &self.hasher, self.size);
        let Some(sha256_state) = state else {
            return Ok(());
        };
        let checkpoint = Checkpoint {
            prefix,
            sha256_state,
            origin: origin.clone(),
        };
        let kept = timeout(LEDGER_LIMIT, self.blobs.keep(&self.blob, &checkpoint)).await;
        let slow = || DbErr::Custom("the database did not take a checkpoint".to_owned());
        // A blob that is another's by now takes none; its writer will hear of that.
        if kept.map_err(|_| slow())?? {
            self.checkpoints.wrote(bytes);
        }
        Ok(())
    }

    /// Checks what was promised and makes the bytes durable.
    pub async fn seal(mut self) -> Result<Sealed, IntakeError> {
        let sha256 = digest(&self.hasher);
        if let Err(error) = self.expectation.check_whole(self.size, sha256) {
            self.abandon().await;
            return Err(error);
        }
        // What another has taken over is the other's to finish.
        if self.has_checkpoint() && !self.blobs.is_held(&self.blob).await? {
            return Err(StorageError::NotFound.into());
        }
        self.quota
            .settle(&self.blobs, &self.blob, self.size)
            .await?;
        let can_go_on = self.has_checkpoint();
        if let Err(error) = self.writer.finish().await {
            if !can_go_on || !error.is_transient() {
                give_up(&self.blobs, &self.blob).await;
            }
            return Err(error.into());
        }
        if (self.head.len() as u64) < self.size.min(HEAD_BYTES as u64) {
            self.head = read_head(&self.store, &self.blob.key, self.size).await?;
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
        // What is another's by now is not to be touched.
        if give_up(&self.blobs, &self.blob).await {
            abort(self.writer).await;
        }
    }
}

/// The first bytes of an object, which came in an earlier attempt.
async fn read_head(
    store: &Arc<dyn BlobStore>,
    key: &BlobKey,
    size: u64,
) -> Result<Vec<u8>, StorageError> {
    let pieces = store.read(key, 0..size.min(HEAD_BYTES as u64)).await?;
    let head: Vec<Bytes> = pieces.try_collect().await?;
    Ok(head.concat())
}

fn digest(hasher: &sha2::Sha256) -> Sha256 {
    Sha256::from_bytes(hasher.clone().finalize().into())
}

async fn abort(writer: Box<dyn BlobWriter>) {
    if let Err(error) = writer.abort().await {
        tracing::warn!(%error, "an unfinished object is left to the collector");
    }
}

/// Why the bytes were not taken in says more than why they could not be given up: the collector
/// finds the blob without this, only later. Says whether it was still the writer's.
async fn give_up(blobs: &BlobLedger, blob: &StagedBlob) -> bool {
    match blobs.discard(blob).await {
        Ok(given_up) => given_up,
        Err(error) => {
            tracing::warn!(%error, "a blob that was given up is left to the collector");
            false
        }
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
