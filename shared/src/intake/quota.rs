//! What of a project's limit bytes on their way take up: always at least as many as were written.

use crate::blob_ledger::{BlobLedger, ChargeError, StagedBlob};

/// How many bytes are counted ahead where nobody says how many come: as many as have come, within these
/// bounds, so that small ones that fit together do not keep each other out.
const LEAST_STEP: u64 = 64 * 1024;
const MOST_STEP: u64 = 16 * 1024 * 1024;

/// What is counted for one blob so far.
pub(super) struct Quota {
    charged: u64,
    /// No more than this is counted ahead.
    most_ahead: u64,
}

impl Quota {
    pub(super) fn of(blob: &StagedBlob) -> Self {
        Self {
            charged: blob.charged,
            most_ahead: MOST_STEP,
        }
    }

    /// Makes sure that so many bytes are counted.
    pub(super) async fn cover(
        &mut self,
        blobs: &BlobLedger,
        blob: &StagedBlob,
        size: u64,
    ) -> Result<(), ChargeError> {
        if size > self.charged && blob.project.is_some() {
            self.count(blobs, blob, size).await?;
        }
        Ok(())
    }

    /// The same, and a step ahead as long as there is room for one.
    pub(super) async fn cover_some(
        &mut self,
        blobs: &BlobLedger,
        blob: &StagedBlob,
        size: u64,
    ) -> Result<(), ChargeError> {
        while size > self.charged && blob.project.is_some() {
            let step = size.max(LEAST_STEP).min(self.most_ahead);
            let ahead = size.saturating_add(step);
            match self.count(blobs, blob, ahead).await {
                Err(ChargeError::OverLimit { .. }) if step > 0 => self.most_ahead = step / 2,
                counted => return counted,
            }
        }
        Ok(())
    }

    /// Counts what there is, and no more.
    pub(super) async fn settle(
        &mut self,
        blobs: &BlobLedger,
        blob: &StagedBlob,
        size: u64,
    ) -> Result<(), ChargeError> {
        if size != self.charged && blob.project.is_some() {
            self.count(blobs, blob, size).await?;
        }
        Ok(())
    }

    async fn count(
        &mut self,
        blobs: &BlobLedger,
        blob: &StagedBlob,
        size: u64,
    ) -> Result<(), ChargeError> {
        // The configuration keeps sizes below 2^63.
        let signed = |bytes| i64::try_from(bytes).unwrap_or(i64::MAX);
        blobs
            .charge(blob, signed(size) - signed(self.charged))
            .await?;
        self.charged = size;
        Ok(())
    }
}
