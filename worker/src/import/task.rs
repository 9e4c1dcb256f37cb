//! What one attempt at an import has to do, what it makes of the bytes, and how it says why not.

use std::sync::Arc;

use media_database::{entities::job, media_repository::NewMedia};
use media_domain::{
    blob::StoredBlob,
    caller::Creator,
    job::{
        Failure, FailureCode, ImportArguments, JobClass, Lease, MediaImport,
        arguments::{MediaRange, redact_url},
    },
    media::Filename,
};
use media_formats::{
    media_type::{self, MediaType},
    metadata,
};
use media_ingest::{Expectation, IngestError};
use media_storage::{BlobStore, StorageError};

use crate::{
    active_jobs::ActiveJob,
    fetch::{self, FetchError, Target},
    filename,
};

/// One attempt at an import.
pub(super) struct Task<'t> {
    pub(super) arguments: &'t ImportArguments,
    pub(super) target: &'t Target,
    pub(super) expectation: Expectation,
    pub(super) lease: Lease,
    pub(super) project: Option<&'t str>,
    pub(super) job: &'t ActiveJob,
}

impl Task<'_> {
    pub(super) fn failure(&self, error: &IngestError) -> Failure {
        intake_failure(self.arguments, error)
    }

    /// What storage has forgotten in the middle is written anew; so is what was put together from two
    /// attempts (`resumed`) and is not what was promised.
    pub(super) fn broken(&self, error: &IngestError, resumed: bool) -> FetchError {
        match error {
            IngestError::Storage(StorageError::NotFound) => FetchError::Changed(None),
            IngestError::ChecksumMismatch { .. } if resumed => FetchError::Changed(None),
            error => self.failure(error).into(),
        }
    }

    /// Refuses bytes of a type that the client does not accept.
    pub(super) fn check_type(&self, head: &Head, bytes: &[u8]) -> Result<(), Failure> {
        let Some(accepted) = &self.arguments.accept_types else {
            return Ok(());
        };
        let named = self.arguments.filename.as_ref().or(head.filename.as_ref());
        let found = head.media_type(bytes, named);
        if accepted.iter().any(|range| range.covers(&found.mime)) {
            return Ok(());
        }
        let accepted: Vec<&str> = accepted.iter().map(MediaRange::as_str).collect();
        Err(Failure::new(
            FailureCode::TypeNotAllowed,
            format!(
                "{} is {}, and `accept_types` takes {} only",
                self.arguments.public_url(),
                found.mime,
                accepted.join(", ")
            ),
        ))
    }
}

/// What the head of the answer says about the bytes.
pub(super) struct Head {
    /// With parameters.
    declared_type: Option<String>,
    filename: Option<Filename>,
}

impl Head {
    pub(super) fn of(head: &fetch::Head) -> Self {
        Self {
            declared_type: head.content_type.clone(),
            filename: head
                .filename
                .clone()
                .or_else(|| filename::from_url(&head.url)),
        }
    }

    fn media_type(&self, bytes: &[u8], named: Option<&Filename>) -> MediaType {
        let extension = named.and_then(Filename::extension);
        media_type::detect(bytes, self.declared_type.as_deref(), extension)
    }
}

pub(super) async fn describe(
    arguments: ImportArguments,
    head: &Head,
    sealed: &StoredBlob,
    job: &job::Model,
    store: &Arc<dyn BlobStore>,
) -> NewMedia {
    let source_url = arguments.public_url();
    let named = arguments.filename.clone().or_else(|| head.filename.clone());
    let media_type = head.media_type(&sealed.head, named.as_ref());
    NewMedia {
        path: arguments.path,
        filename: named.unwrap_or_else(|| filename::fallback(media_type.extension)),
        metadata: metadata::read(store, sealed, &media_type.mime).await,
        mime_type: media_type.mime,
        charset: media_type.charset,
        size: sealed.size,
        sha256: sealed.sha256,
        public: arguments.public,
        source_url: Some(source_url),
        creator: Creator {
            created_by: job.created_by.clone(),
            created_role: job.created_role.clone(),
            project_id: job.project_id.clone(),
        },
        blob_id: sealed.blob_id,
    }
}

/// Reads arguments of every version up to this program's own.
pub(super) fn read_arguments(job: &job::Model) -> Result<ImportArguments, Failure> {
    if job.job_class != MediaImport::NAME || job.arguments_version > MediaImport::ARGUMENTS_VERSION
    {
        return Err(Failure::new(
            FailureCode::InvalidArguments,
            format!(
                "this worker does not know the job class `{}` in version {}; update the workers, then send the signal `retry`",
                job.job_class, job.arguments_version
            ),
        ));
    }
    serde_json::from_value(job.arguments.clone()).map_err(|error| {
        Failure::new(
            FailureCode::InvalidArguments,
            format!("the job's arguments cannot be read: {error}"),
        )
    })
}

fn intake_failure(arguments: &ImportArguments, error: &IngestError) -> Failure {
    let url = redact_url(&arguments.url);
    let (code, detail) = match error {
        IngestError::TooLarge { .. } => (
            FailureCode::TooLarge,
            format!("{url} {error}; raise `max_bytes`, or MEDIA_MAX_BYTES of the service"),
        ),
        IngestError::SizeMismatch { .. } => (FailureCode::SizeMismatch, format!("{url} {error}")),
        IngestError::ChecksumMismatch { .. } => {
            (FailureCode::ChecksumMismatch, format!("{url} {error}"))
        }
        IngestError::OverQuota { .. } => (FailureCode::QuotaExceeded, format!("{url} {error}")),
        IngestError::Storage(StorageError::Full) => (
            FailureCode::StorageFailed,
            "there is no room left in storage; free some, or wait for the next attempt".to_owned(),
        ),
        IngestError::Storage(error) if error.is_misconfiguration() => {
            tracing::error!(%error, "an import could not be stored");
            (
                FailureCode::StorageFailed,
                "storage refuses this service; its keys, bucket and permissions need a look"
                    .to_owned(),
            )
        }
        IngestError::Storage(_) | IngestError::Database(_) => {
            tracing::error!(error = %error, "an import could not be stored");
            (
                FailureCode::StorageFailed,
                "the bytes could not be stored; the service's log says why".to_owned(),
            )
        }
    };
    Failure::new(code, detail)
}
