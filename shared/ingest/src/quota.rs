//! Quota reserved by writes in progress: always at least the bytes that were written.

use media_database::blob_repository::{BlobRepository, QuotaError};
use media_domain::blob::StagedBlob;

/// The fewest bytes that are reserved ahead for an object of unknown size. As many as have come are reserved ahead, so
/// that small objects that fit together do not exclude each other.
const MIN_STEP: u64 = 64 * 1024;
/// The most bytes that are reserved ahead.
const MAX_STEP: u64 = 16 * 1024 * 1024;

/// The reservation of one blob.
pub(super) struct Reservation {
    reserved: u64,
    /// The most bytes to reserve ahead.
    max_step: u64,
}

impl Reservation {
    pub(super) fn new(blob: &StagedBlob) -> Self {
        Self {
            reserved: blob.reserved,
            max_step: MAX_STEP,
        }
    }

    /// Makes sure that `size` bytes are reserved.
    pub(super) async fn reserve_at_least(
        &mut self,
        blobs: &BlobRepository,
        blob: &StagedBlob,
        size: u64,
    ) -> Result<(), QuotaError> {
        if size > self.reserved && blob.project.is_some() {
            self.set(blobs, blob, size).await?;
        }
        Ok(())
    }

    /// Makes sure that `size` bytes are reserved, and a step ahead as long as there is room for one.
    pub(super) async fn reserve_ahead(
        &mut self,
        blobs: &BlobRepository,
        blob: &StagedBlob,
        size: u64,
    ) -> Result<(), QuotaError> {
        while size > self.reserved && blob.project.is_some() {
            let step = size.max(MIN_STEP).min(self.max_step);
            let ahead = size.saturating_add(step);
            match self.set(blobs, blob, ahead).await {
                Err(QuotaError::Exceeded { .. }) if step > 0 => self.max_step = step / 2,
                result => return result,
            }
        }
        Ok(())
    }

    /// Reserves exactly `size` bytes.
    pub(super) async fn commit(
        &mut self,
        blobs: &BlobRepository,
        blob: &StagedBlob,
        size: u64,
    ) -> Result<(), QuotaError> {
        if size != self.reserved && blob.project.is_some() {
            self.set(blobs, blob, size).await?;
        }
        Ok(())
    }

    async fn set(
        &mut self,
        blobs: &BlobRepository,
        blob: &StagedBlob,
        size: u64,
    ) -> Result<(), QuotaError> {
        // The configuration keeps sizes below 2^63.
        let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        blobs
            .reserve(blob, signed(size) - signed(self.reserved))
            .await?;
        self.reserved = size;
        Ok(())
    }
}
