//! Why a transfer to storage ended early.

use media_domain::job::{Attempt, FailureCode, Lease};
use media_ingest::IngestError;
use media_storage::StorageError;

use super::failure::ImportError;
use crate::fetch::{Answer, FetchError};

/// The attempt from which on the whole file is requested from an origin that fails at ranges. Earlier attempts
/// assume an outage and keep the bytes that have been stored.
const FULL_REQUEST_ATTEMPT: Attempt = Attempt::new(4);

/// Why a transfer to storage ended early.
pub(super) enum TransferError {
    Failed(ImportError),
    /// The stored bytes are useless; contains the new content if the origin has sent it.
    StartOver(Option<Box<Answer>>),
}

impl TransferError {
    /// Whether the next attempt can use the stored bytes.
    pub(super) fn is_resumable(&self) -> bool {
        match self {
            Self::Failed(ImportError::Ingest(IngestError::Storage(error))) => error.is_transient(),
            Self::Failed(ImportError::Ingest(_)) | Self::StartOver(_) => false,
            Self::Failed(error) => error.code().is_retryable(),
        }
    }
}

impl From<FetchError> for TransferError {
    fn from(error: FetchError) -> Self {
        match error {
            FetchError::Failed(failure) => Self::Failed(failure.into()),
            FetchError::Changed(answer) => Self::StartOver(answer),
        }
    }
}

impl From<IngestError> for TransferError {
    fn from(error: IngestError) -> Self {
        match error {
            // The blob was lost during the transfer.
            IngestError::Storage(StorageError::NotFound) => Self::StartOver(None),
            error => Self::Failed(error.into()),
        }
    }
}

impl From<ImportError> for TransferError {
    fn from(error: ImportError) -> Self {
        Self::Failed(error)
    }
}

/// Whether an origin that refuses a range with this code may serve the whole file.
pub(super) fn may_refuse_only_ranges(lease: Lease, code: FailureCode) -> bool {
    match code {
        FailureCode::OriginRefused => true,
        FailureCode::OriginError | FailureCode::InvalidResponse => {
            lease.attempt >= FULL_REQUEST_ATTEMPT
        }
        _ => false,
    }
}
