//! The job class `media:import`: from a URL to stored bytes and all that is to be recorded of them.

use std::{pin::pin, sync::Arc};

use futures_util::StreamExt as _;
use media_shared::{
    blob_ledger::{BlobLedger, BlobOwner},
    blob_store::{BlobStore, StorageError},
    entities::job,
    ids::BlobId,
    intake::{Expectation, Intake, IntakeError, Sealed},
    job::{Failure, FailureCode, ImportArguments, JobClass, MediaImport, arguments::redact_url},
    job_ledger::{Claimed, Lease},
    media_ledger::{Creator, NewMedia},
    media_type,
};

use crate::{
    active_jobs::{ActiveJob, Progress},
    fetch::{Answer, Fetcher},
    filename,
};

/// Imports what a URL gives.
#[derive(Clone)]
pub(crate) struct Importer {
    fetcher: Fetcher,
    blobs: BlobLedger,
    store: Arc<dyn BlobStore>,
    max_bytes: u64,
}

impl Importer {
    /// An importer that takes at most `max_bytes` of any one URL.
    pub(crate) fn new(
        fetcher: Fetcher,
        blobs: BlobLedger,
        store: Arc<dyn BlobStore>,
        max_bytes: u64,
    ) -> Self {
        Self {
            fetcher,
            blobs,
            store,
            max_bytes,
        }
    }

    /// Runs one attempt. What it returns is stored, but not yet recorded: that is one transaction
    /// with the job's success.
    pub(crate) async fn run(
        &self,
        claimed: &Claimed,
        job: &ActiveJob,
    ) -> Result<NewMedia, Failure> {
        let progress = &job.progress;
        let arguments = read_arguments(&claimed.job)?;
        let answer = self
            .fetcher
            .get(&arguments.url, arguments.headers.as_ref())
            .await?;
        let expectation = self.expectation(&arguments);
        if let Some(announced) = answer.content_length {
            expectation
                .check_announced(announced)
                .map_err(|error| intake_failure(&arguments, &error))?;
            progress.announce(announced);
        }
        let intake = Intake::open(
            &self.blobs,
            &self.store,
            BlobOwner::Attempt(claimed.lease),
            expectation,
            answer.content_length,
        )
        .await
        .map_err(|error| intake_failure(&arguments, &error))?;
        // Set once: an attempt writes one blob.
        let _ = job.staged.set(intake.blob_id());
        let head = Head::of(&answer);
        let sealed = self.store(answer, intake, &arguments, progress).await?;
        Ok(describe(arguments, head, &sealed, &claimed.job))
    }

    /// Streams the body into storage.
    async fn store(
        &self,
        answer: Answer,
        mut intake: Intake,
        arguments: &ImportArguments,
        progress: &Progress,
    ) -> Result<Sealed, Failure> {
        let mut body = pin!(answer.into_body());
        while let Some(chunk) = body.next().await {
            let written = match chunk {
                Ok(chunk) => intake
                    .write(chunk)
                    .await
                    .map_err(|error| intake_failure(arguments, &error)),
                Err(failure) => Err(failure),
            };
            if let Err(failure) = written {
                intake.abandon().await;
                return Err(failure);
            }
            progress.advance(intake.size());
        }
        intake
            .seal()
            .await
            .map_err(|error| intake_failure(arguments, &error))
    }

    /// Gives up what an attempt had staged when it was stopped.
    pub(crate) async fn discard(&self, lease: Lease, job: &ActiveJob) {
        if let Some(id) = job.staged.get() {
            return self.disown(*id).await;
        }
        // It may have been entering one.
        if let Err(error) = self.blobs.discard_all_of(lease).await {
            tracing::warn!(%error, "a stopped import's blob is left to the collector");
        }
    }

    /// Gives up the blob of an attempt that is over.
    pub(crate) async fn disown(&self, id: BlobId) {
        if let Err(error) = self.blobs.disown(id).await {
            tracing::error!(%error, blob = %id, "a past attempt's blob could not be given up");
        }
    }

    fn expectation(&self, arguments: &ImportArguments) -> Expectation {
        Expectation {
            max_bytes: arguments
                .max_bytes
                .map_or(self.max_bytes, |max| max.min(self.max_bytes)),
            size: arguments.size,
            sha256: arguments.sha256,
        }
    }
}

/// What the head of the answer says about the bytes.
struct Head {
    declared_type: Option<String>,
    filename: Option<media_shared::media::Filename>,
}

impl Head {
    fn of(answer: &Answer) -> Self {
        Self {
            declared_type: answer.content_type.clone(),
            filename: answer
                .content_disposition
                .as_deref()
                .and_then(filename::from_content_disposition)
                .or_else(|| filename::from_url(&answer.url)),
        }
    }
}

fn describe(arguments: ImportArguments, head: Head, sealed: &Sealed, job: &job::Model) -> NewMedia {
    let source_url = arguments.public_url();
    let named = arguments.filename.or(head.filename);
    let media_type = media_type::detect(
        &sealed.head,
        head.declared_type.as_deref(),
        named.as_ref().and_then(|name| name.extension()),
    );
    NewMedia {
        path: arguments.path,
        filename: named.unwrap_or_else(|| filename::fallback(media_type.extension)),
        mime_type: media_type.mime,
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
fn read_arguments(job: &job::Model) -> Result<ImportArguments, Failure> {
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

fn intake_failure(arguments: &ImportArguments, error: &IntakeError) -> Failure {
    let url = redact_url(&arguments.url);
    let (code, detail) = match error {
        IntakeError::TooLarge { .. } => (
            FailureCode::TooLarge,
            format!("{url} {error}; raise `max_bytes`, or MEDIA_MAX_BYTES of the service"),
        ),
        IntakeError::SizeMismatch { .. } => (FailureCode::SizeMismatch, format!("{url} {error}")),
        IntakeError::ChecksumMismatch { .. } => {
            (FailureCode::ChecksumMismatch, format!("{url} {error}"))
        }
        IntakeError::Storage(StorageError::Full) => (
            FailureCode::StorageFailed,
            "there is no room left in storage; free some, or wait for the next attempt".to_owned(),
        ),
        IntakeError::Storage(error) if error.is_misconfiguration() => {
            tracing::error!(%error, "an import could not be stored");
            (
                FailureCode::StorageFailed,
                "storage refuses this service; its keys, bucket and permissions need a look"
                    .to_owned(),
            )
        }
        IntakeError::Storage(_) | IntakeError::Database(_) => {
            tracing::error!(error = %error, "an import could not be stored");
            (
                FailureCode::StorageFailed,
                "the bytes could not be stored; the service's log says why".to_owned(),
            )
        }
    };
    Failure::new(code, detail)
}
