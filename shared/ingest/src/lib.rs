//! Ingest: bytes of origins and uploaders are counted, limited, hashed and stored as they pass, in a few buffers; and
//! the collector deletes objects that nothing refers to.
//!
//! This crate joins storage and the database. It must not know where the bytes come from: neither HTTP nor jobs.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use sea_orm::DbErr;
use tokio::time::timeout;

use media_database::blob_repository::{BlobRepository, QuotaError};
use media_domain::blob::{BlobKey, BlobOwner, Checkpoint, StagedBlob, StoredBlob};
use media_storage::{BlobStore, BlobWriter, SizeHint, StorageError};

mod checkpoints;
mod digests;
mod expectation;
pub mod garbage_collector;
mod quota;

use checkpoints::Checkpoints;
use digests::Digests;
pub use expectation::Expectation;
use quota::Reservation;

/// The longest that recording a checkpoint may take.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(5);
/// The number of first bytes that are kept to detect the type: pictures have their size behind the notes of cameras.
pub const HEAD_BYTES: usize = 128 * 1024;

/// Bytes were not stored.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// More bytes than allowed.
    #[error("is larger than the {limit} bytes allowed")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// Another number of bytes than expected.
    #[error("has {actual} bytes, not {expected} as expected")]
    SizeMismatch {
        /// The expected number.
        expected: u64,
        /// The number of bytes that came; at least, if the rest was not read.
        actual: u64,
    },
    /// Another digest than expected.
    #[error("has the {algorithm} {actual}, not {expected} as expected")]
    ChecksumMismatch {
        /// The algorithm, such as `sha256`.
        algorithm: &'static str,
        /// The expected digest, in hexadecimal digits.
        expected: String,
        /// The digest of the bytes that came.
        actual: String,
    },
    /// They would exceed the project's quota.
    #[error("would exceed the project's quota of {limit} bytes; delete media or ask for more")]
    OverQuota {
        /// The quota, in bytes.
        limit: u64,
    },
    /// Storage failed.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The tables could not be read or written.
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl From<QuotaError> for IngestError {
    fn from(error: QuotaError) -> Self {
        match error {
            QuotaError::Exceeded { limit } => Self::OverQuota { limit },
            QuotaError::BlobLost => Self::Storage(StorageError::NotFound),
            QuotaError::Database(error) => Self::Database(error),
        }
    }
}

/// An object that is being stored. Dropped before [`Ingest::finish`], it leaves a staged blob for the collector;
/// [`Ingest::abandon`] has it collected at once.
pub struct Ingest {
    blobs: BlobRepository,
    store: Arc<dyn BlobStore>,
    blob: StagedBlob,
    writer: Box<dyn BlobWriter>,
    expectation: Expectation,
    digests: Digests,
    size: u64,
    head: Vec<u8>,
    checkpoints: Checkpoints,
    reservation: Reservation,
}

impl Ingest {
    /// Stages a blob, for a project if there is one, and opens it in storage. `announced` is the size that the sender
    /// announced, if it did.
    pub async fn open(
        blobs: &BlobRepository,
        store: &Arc<dyn BlobStore>,
        (owner, project): (BlobOwner, Option<&str>),
        expectation: Expectation,
        announced: Option<u64>,
    ) -> Result<Self, IngestError> {
        let blob = blobs.stage(owner, project).await?;
        let size_hint = SizeHint {
            announced: announced.or(expectation.size),
            max: expectation.max_bytes,
        };
        let mut reservation = Reservation::new(&blob);
        // Bytes that cannot fit are not even begun.
        if let Err(error) = reservation
            .reserve_at_least(blobs, &blob, size_hint.announced.unwrap_or(0))
            .await
        {
            abandon_blob(blobs, &blob).await;
            return Err(error.into());
        }
        let writer = match store.create(&blob.key, size_hint).await {
            Ok(writer) => writer,
            Err(error) => {
                abandon_blob(blobs, &blob).await;
                return Err(error.into());
            }
        };
        Ok(Self {
            blobs: blobs.clone(),
            store: Arc::clone(store),
            blob,
            writer,
            digests: Digests::new(&expectation),
            expectation,
            size: 0,
            head: Vec::new(),
            checkpoints: Checkpoints::after(0),
            reservation,
        })
    }

    /// Resumes from the checkpoint of an earlier attempt at the same job, if storage still has its bytes unchanged.
    /// Otherwise the blob is abandoned.
    pub async fn resume(
        blobs: &BlobRepository,
        store: &Arc<dyn BlobStore>,
        (blob, checkpoint): (StagedBlob, Checkpoint),
        expectation: Expectation,
    ) -> Result<Option<Self>, IngestError> {
        let size = checkpoint.prefix.bytes;
        let digests = Digests::restore(&expectation, &checkpoint);
        let allowed = expectation.check_so_far(size).is_ok();
        let Some(digests) = digests.filter(|_| allowed) else {
            abandon_blob(blobs, &blob).await;
            return Ok(None);
        };
        let sha256 = digests.sha256();
        let resumed = match store.resume(&blob.key, &checkpoint.prefix, sha256).await {
            // The bytes may be there when storage is available again.
            Err(error @ StorageError::Unavailable(_)) => return Err(error.into()),
            Err(error) => {
                tracing::warn!(%error, "the checkpoint of an earlier attempt cannot be resumed");
                None
            }
            Ok(resumed) => resumed,
        };
        let Some(writer) = resumed else {
            abandon_blob(blobs, &blob).await;
            return Ok(None);
        };
        Ok(Some(Self {
            blobs: blobs.clone(),
            store: Arc::clone(store),
            reservation: Reservation::new(&blob),
            blob,
            writer,
            expectation,
            digests,
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

    /// The number of bytes so far.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Stores the next bytes.
    pub async fn write(&mut self, chunk: Bytes) -> Result<(), IngestError> {
        self.size += chunk.len() as u64;
        self.expectation.check_so_far(self.size)?;
        self.reservation
            .reserve_ahead(&self.blobs, &self.blob, self.size)
            .await?;
        let before = self.size - chunk.len() as u64;
        if before == self.head.len() as u64 {
            let head = chunk.len().min(HEAD_BYTES - self.head.len());
            self.head.extend_from_slice(&chunk[..head]);
        }
        self.checkpoints.hash(
            &mut self.digests,
            before,
            &chunk,
            self.writer.resume_granularity(),
        );
        Ok(self.writer.write(chunk).await?)
    }

    /// Whether the first bytes came in an earlier attempt.
    pub fn is_resumed(&self) -> bool {
        self.checkpoints.is_resumed()
    }

    /// Whether a later attempt could resume.
    pub fn has_checkpoint(&self) -> bool {
        self.checkpoints.last() > 0
    }

    /// Whether enough bytes came since the last checkpoint for another one.
    pub fn is_checkpoint_due(&self) -> bool {
        self.checkpoints.is_due(self.size)
    }

    /// Records a checkpoint for a later attempt, if there are new bytes to resume behind. `origin` has the validators that
    /// tell whether the origin still has the same bytes.
    pub async fn checkpoint(&mut self, origin: &serde_json::Value) -> Result<(), IngestError> {
        self.checkpoints.tried();
        let last = self.checkpoints.last();
        let saved = self.writer.checkpoint().await?;
        let Some(prefix) = saved.filter(|prefix| prefix.bytes != last) else {
            return Ok(());
        };
        let bytes = prefix.bytes;
        let digests = self.checkpoints.digests_at(bytes, &self.digests, self.size);
        let Some((sha256_state, more_states)) = digests.map(Digests::states) else {
            return Ok(());
        };
        let checkpoint = Checkpoint {
            prefix,
            sha256_state,
            more_states,
            origin: origin.clone(),
        };
        let recorded = timeout(
            CHECKPOINT_TIMEOUT,
            self.blobs.save_checkpoint(&self.blob, &checkpoint),
        )
        .await;
        let slow = || DbErr::Custom("the database did not take a checkpoint".to_owned());
        // A blob that another attempt has taken over takes none; this writer will learn of that.
        if recorded.map_err(|_| slow())?? {
            self.checkpoints.wrote(bytes);
        }
        Ok(())
    }

    /// Checks the expectation and makes the bytes durable.
    pub async fn finish(mut self) -> Result<StoredBlob, IngestError> {
        let sha256 = self.digests.sha256();
        let checked = self.expectation.check_size(self.size);
        if let Err(error) = checked.and_then(|()| self.digests.check(&self.expectation)) {
            self.abandon().await;
            return Err(error);
        }
        // A blob that another attempt has taken over is the other's to finish.
        if self.has_checkpoint() && !self.blobs.touch(&self.blob).await? {
            return Err(StorageError::NotFound.into());
        }
        self.reservation
            .commit(&self.blobs, &self.blob, self.size)
            .await?;
        let is_resumable = self.has_checkpoint();
        if let Err(error) = self.writer.finish().await {
            if !is_resumable || !error.is_transient() {
                abandon_blob(&self.blobs, &self.blob).await;
            }
            return Err(error.into());
        }
        if (self.head.len() as u64) < self.size.min(HEAD_BYTES as u64) {
            self.head = read_head(&self.store, &self.blob.key, self.size).await?;
        }
        Ok(StoredBlob {
            blob_id: self.blob.id,
            size: self.size,
            sha256,
            head: self.head,
        })
    }

    /// Abandons the bytes.
    pub async fn abandon(self) {
        // A blob that another attempt has taken over is left alone.
        if abandon_blob(&self.blobs, &self.blob).await {
            abort(self.writer).await;
        }
    }
}

/// The first bytes of an object that came in an earlier attempt.
async fn read_head(
    store: &Arc<dyn BlobStore>,
    key: &BlobKey,
    size: u64,
) -> Result<Vec<u8>, StorageError> {
    let pieces = store.read(key, 0..size.min(HEAD_BYTES as u64)).await?;
    let head: Vec<Bytes> = pieces.try_collect().await?;
    Ok(head.concat())
}

async fn abort(writer: Box<dyn BlobWriter>) {
    if let Err(error) = writer.abort().await {
        tracing::warn!(%error, "an incomplete object is left to the collector");
    }
}

/// Abandons a blob, and returns whether it was still the writer's. A failure is logged only: the reason why the bytes
/// are abandoned matters more, and the collector finds the blob later.
async fn abandon_blob(blobs: &BlobRepository, blob: &StagedBlob) -> bool {
    match blobs.abandon(blob).await {
        Ok(abandoned) => abandoned,
        Err(error) => {
            tracing::warn!(%error, "an abandoned blob is left to the collector");
            false
        }
    }
}
