//! Runs attempts at imports: fetches a URL into storage, and resumes what an earlier attempt has stored.

use std::sync::Arc;

use media_database::{
    blob_repository::BlobRepository, entities::media, job_repository::Claimed,
    media_repository::MediaRepository,
};
use media_domain::{
    blob::{BlobOwner, Checkpoint, StagedBlob, StoredBlob},
    job::{self, Failure, IfExists, ImportArguments, Lease},
};
use media_ingest::{Expectation, HEAD_BYTES, Ingest, IngestError};
use media_storage::BlobStore;
use media_telemetry::metrics::metrics;
use tokio::time::Instant;
use tracing::{Instrument as _, info_span};
use url::Url;

use super::{
    attempt::{Attempt, read_arguments},
    failure::ImportError,
    present_media::{Condition, Imported, unchanged},
    source_description::SourceDescription,
    transfer_error::{TransferError, may_refuse_only_ranges},
};
use crate::{
    active_jobs::ActiveJob,
    fetch::{Answer, ContentIdentity, FetchError, FetchFailure, Fetcher, Target, Transfer},
};

/// Maximum number of times that one attempt starts over because the content at the origin has changed.
const MAX_RESTARTS: usize = 2;

/// Imports files from URLs.
#[derive(Clone)]
pub(crate) struct Importer {
    fetcher: Fetcher,
    blobs: BlobRepository,
    medias: MediaRepository,
    store: Arc<dyn BlobStore>,
    max_bytes: u64,
}

/// Where an attempt begins.
#[allow(
    clippy::large_enum_variant,
    reason = "there is one per attempt, for a short time"
)]
enum Start {
    /// At the first byte; the answer may be there already.
    Beginning(Option<Box<Answer>>),
    /// At the checkpoint of an earlier attempt.
    Checkpoint(Transfer, Ingest),
}

/// The beginning of an attempt without a checkpoint.
enum Begun {
    Transfer(Box<Transfer>, Box<Ingest>),
    /// The origin still has the bytes of this media.
    Unchanged(Box<media::Model>),
}

impl Importer {
    /// Creates an importer that stores at most `max_bytes` per file.
    pub(crate) fn new(
        fetcher: Fetcher,
        (blobs, medias): (BlobRepository, MediaRepository),
        store: Arc<dyn BlobStore>,
        max_bytes: u64,
    ) -> Self {
        Self {
            fetcher,
            blobs,
            medias,
            store,
            max_bytes,
        }
    }

    /// Runs one attempt. The bytes of the returned media are stored but not yet recorded: that happens in one
    /// transaction with the job's success.
    pub(crate) async fn run(
        &self,
        claimed: &Claimed,
        job: &ActiveJob,
    ) -> Result<Imported, Failure> {
        let arguments = read_arguments(&claimed.job).map_err(|error| error.failure(None))?;
        // Boxed, as the future is large.
        let imported = Box::pin(self.import(claimed, &arguments, job));
        imported
            .await
            .map_err(|error| error.failure(Some(&arguments.url)))
    }

    async fn import(
        &self,
        claimed: &Claimed,
        arguments: &ImportArguments,
        job: &ActiveJob,
    ) -> Result<Imported, ImportError> {
        let project = claimed.job.project_id.as_deref();
        let present = if arguments.if_exists == IfExists::Replace {
            None
        } else {
            let present = self.medias.find_in(&arguments.path, project).await;
            present.map_err(IngestError::from)?
        };
        match (arguments.if_exists, &present) {
            (IfExists::Skip, Some(media)) => return Ok(unchanged(arguments, media, None)),
            (IfExists::Fail, Some(_)) => return Err(ImportError::AlreadyExists),
            _ => {}
        }
        let target = Target::new(&arguments.url, arguments.headers.as_ref());
        let target = target.ok_or(ImportError::InvalidHeaders)?;
        let attempt = Attempt {
            arguments,
            target: &target,
            expectation: self.expectation(arguments),
            lease: claimed.lease,
            project,
            job,
            present: present.as_ref(),
        };
        let mut start = self.resume(&attempt).await?;
        for _ in 0..=MAX_RESTARTS {
            let (transfer, ingest) = match start {
                Start::Checkpoint(transfer, ingest) => (transfer, ingest),
                Start::Beginning(answer) => match self.begin(&attempt, answer).await? {
                    Begun::Transfer(transfer, ingest) => (*transfer, *ingest),
                    Begun::Unchanged(media) => return Ok(unchanged(arguments, &media, None)),
                },
            };
            start = match self.store(&attempt, transfer, ingest).await {
                Ok((source, sealed)) => {
                    if let Some(media) = attempt.present
                        && media.sha256 == sealed.sha256.to_string()
                    {
                        let origin = source.stored_origin(arguments);
                        if let Some(blob) = job.staged() {
                            self.abandon(&blob).await;
                        }
                        return Ok(unchanged(arguments, media, origin));
                    }
                    let media = source.new_media(arguments, &sealed, &claimed.job, &self.store);
                    return Ok(Imported::New(Box::new(media.await), arguments.if_exists));
                }
                Err(TransferError::Failed(error)) => return Err(error),
                Err(TransferError::StartOver(answer)) => {
                    tracing::info!(lease = %claimed.lease, "the content has changed; starting over");
                    Start::Beginning(answer)
                }
            }
        }
        Err(ImportError::UnstableContent)
    }

    /// Begins a transfer of the whole file, and a blob for it, unless the origin says that the media at the path is still
    /// what it has.
    async fn begin(
        &self,
        attempt: &Attempt<'_>,
        answer: Option<Box<Answer>>,
    ) -> Result<Begun, ImportError> {
        let answer = match (answer, attempt.present) {
            (Some(answer), _) => *answer,
            (None, Some(media)) => match self.open_if_changed(attempt, media).await? {
                Some(answer) => answer,
                None => return Ok(Begun::Unchanged(Box::new(media.clone()))),
            },
            (None, None) => self.fetcher.open(attempt.target).await?,
        };
        let transfer = Transfer::new(&self.fetcher, attempt.target, answer);
        let total = transfer.head().identity.total;
        if let Some(announced) = total {
            attempt.expectation.check_announced(announced)?;
            attempt.job.progress.announce(announced);
        }
        let ingest = Ingest::open(
            &self.blobs,
            &self.store,
            (BlobOwner::Attempt(attempt.lease), attempt.project),
            attempt.expectation,
            total,
        )
        .await?;
        attempt.job.stage(ingest.blob().clone());
        Ok(Begun::Transfer(Box::new(transfer), Box::new(ingest)))
    }

    /// Requests the whole file, unless the origin says that a media is still what it has.
    async fn open_if_changed(
        &self,
        attempt: &Attempt<'_>,
        media: &media::Model,
    ) -> Result<Option<Answer>, FetchFailure> {
        match Condition::new(attempt.arguments, media) {
            Some(condition) => {
                let concerns = |url: &Url| condition.concerns(url);
                let validators = &condition.validators;
                let fetcher = &self.fetcher;
                let answer = fetcher.open_if_changed(attempt.target, validators, concerns);
                answer.await
            }
            None => self.fetcher.open(attempt.target).await.map(Some),
        }
    }

    /// Resumes at the checkpoint of an earlier attempt, if there is one and the content has not changed.
    async fn resume(&self, attempt: &Attempt<'_>) -> Result<Start, ImportError> {
        if attempt.lease.attempt == job::Attempt::FIRST {
            return Ok(Start::Beginning(None));
        }
        let found = self.blobs.resume_checkpoint(attempt.lease).await;
        let Some((blob, checkpoint)) = found.map_err(IngestError::from)? else {
            return Ok(Start::Beginning(None));
        };
        attempt.job.stage(blob.clone());
        let transfer = match self.fetch_rest(attempt, &checkpoint).await {
            Ok(transfer) => transfer,
            Err(FetchError::Failed(failure))
                if may_refuse_only_ranges(attempt.lease, failure.error.code()) =>
            {
                let answer = self.fetcher.open(attempt.target).await;
                let answer = answer.map_err(|_| failure)?;
                return Ok(self.start_over(&blob, Some(Box::new(answer))).await);
            }
            Err(FetchError::Failed(failure)) => return Err(failure.into()),
            Err(FetchError::Changed(answer)) => return Ok(self.start_over(&blob, answer).await),
        };
        let stored = checkpoint.prefix.bytes;
        let staged = (blob, checkpoint);
        let ingest = Ingest::resume(&self.blobs, &self.store, staged, attempt.expectation).await?;
        let Some(ingest) = ingest else {
            return Ok(Start::Beginning(None));
        };
        tracing::info!(lease = %attempt.lease, stored, "resuming an earlier attempt");
        if let Some(total) = transfer.head().identity.total {
            attempt.job.progress.announce(total);
        }
        attempt.job.progress.advance(stored);
        Ok(Start::Checkpoint(transfer, ingest))
    }

    async fn start_over(&self, staged: &StagedBlob, answer: Option<Box<Answer>>) -> Start {
        if let Err(error) = self.blobs.abandon(staged).await {
            tracing::warn!(%error, "the blob of an earlier attempt is kept until the job ends");
        }
        Start::Beginning(answer)
    }

    /// Requests the bytes after a checkpoint.
    async fn fetch_rest(
        &self,
        attempt: &Attempt<'_>,
        checkpoint: &Checkpoint,
    ) -> Result<Transfer, FetchError> {
        let identity = serde_json::from_value::<ContentIdentity>(checkpoint.origin.clone());
        let identity = identity.map_err(|_| FetchError::Changed(None))?;
        let offset = checkpoint.prefix.bytes;
        Transfer::resume(&self.fetcher, attempt.target, &identity, offset).await
    }

    /// Transfers the bytes to storage and completes the blob.
    async fn store(
        &self,
        attempt: &Attempt<'_>,
        mut transfer: Transfer,
        mut ingest: Ingest,
    ) -> Result<(SourceDescription, StoredBlob), TransferError> {
        let streaming = self.stream(attempt, &mut transfer, &mut ingest);
        if let Err(error) = streaming.instrument(info_span!("stream")).await {
            let is_resumable = error.is_resumable();
            let origin = checkpoint_origin(&transfer);
            let origin = origin.filter(|_| is_resumable && !transfer.is_complete());
            end_intake(origin, ingest, is_resumable).await;
            return Err(error);
        }
        let source = SourceDescription::new(transfer.head());
        let blob = ingest.blob().clone();
        let is_resumed = ingest.is_resumed();
        let sealed = ingest.finish().instrument(info_span!("seal")).await;
        let sealed = sealed.map_err(|error| match error {
            // The parts of two attempts may belong to different content.
            IngestError::ChecksumMismatch { .. } if is_resumed => TransferError::StartOver(None),
            error => error.into(),
        })?;
        if let Err(error) = attempt.check_type(&source, &sealed.head) {
            self.abandon(&blob).await;
            return Err(error.into());
        }
        Ok((source, sealed))
    }

    async fn stream(
        &self,
        attempt: &Attempt<'_>,
        transfer: &mut Transfer,
        ingest: &mut Ingest,
    ) -> Result<(), TransferError> {
        let origin = checkpoint_origin(transfer);
        let (begun, resumed_at) = (Instant::now(), ingest.size());
        let mut type_is_known = false;
        while let Some(chunk) = transfer.next().await? {
            metrics().fetched(chunk.len() as u64);
            ingest.write(chunk).await?;
            attempt.job.progress.advance(ingest.size());
            if !type_is_known && ingest.head().len() == HEAD_BYTES {
                // Checked early, so that a refused file is not fetched to its end.
                let source = SourceDescription::new(transfer.head());
                attempt.check_type(&source, ingest.head())?;
                type_is_known = true;
            }
            if let Some(origin) = &origin
                && ingest.is_checkpoint_due()
                && !transfer.is_complete()
            {
                checkpoint(ingest, origin).await?;
            }
        }
        metrics().fetched_at(ingest.size() - resumed_at, begun.elapsed());
        Ok(())
    }

    /// Releases the blobs of an attempt that was stopped; the next one can resume at the last checkpoint.
    pub(crate) async fn release(&self, lease: Lease, job: &ActiveJob) {
        let released = async {
            self.blobs.abandon_attempt(lease).await?;
            match job.staged() {
                Some(blob) => self.blobs.recheck(&blob).await,
                None => Ok(()),
            }
        };
        if let Err(error) = released.await {
            tracing::warn!(%error, "the blob of a stopped import is left to the collector");
        }
    }

    /// Abandons the blob of an attempt that is over.
    pub(crate) async fn abandon(&self, blob: &StagedBlob) {
        if let Err(error) = self.blobs.abandon_stale(blob).await {
            tracing::error!(%error, blob = %blob.id, "the blob of a past attempt could not be abandoned");
        }
    }

    fn expectation(&self, arguments: &ImportArguments) -> Expectation {
        Expectation {
            max_bytes: arguments
                .max_bytes
                .map_or(self.max_bytes, |max| max.min(self.max_bytes)),
            size: arguments.size,
            sha256: arguments.sha256,
            sha512: None,
            md5: arguments.md5,
        }
    }
}

/// Returns the content identity that a checkpoint stores; nothing if the content cannot be resumed.
fn checkpoint_origin(transfer: &Transfer) -> Option<serde_json::Value> {
    let identity = &transfer.head().identity;
    serde_json::to_value(identity)
        .ok()
        .filter(|_| identity.can_be_resumed())
}

/// Writes a checkpoint. A failure of the database is ignored: only the next attempt would use the checkpoint.
async fn checkpoint(ingest: &mut Ingest, origin: &serde_json::Value) -> Result<(), IngestError> {
    match ingest.checkpoint(origin).await {
        Err(IngestError::Database(error)) => {
            tracing::warn!(%error, "a checkpoint was not written");
            Ok(())
        }
        written => written,
    }
}

/// Ends the ingest of a failed attempt: keeps its blob for the next one if that can resume, or abandons it.
/// `origin` is owned, because a transfer cannot be shared between tasks.
async fn end_intake(origin: Option<serde_json::Value>, mut ingest: Ingest, is_resumable: bool) {
    if let Some(origin) = origin
        && let Err(error) = checkpoint(&mut ingest, &origin).await
    {
        tracing::debug!(%error, "the previous checkpoint is kept");
    }
    if !(is_resumable && ingest.has_checkpoint()) {
        ingest.abandon().await;
    }
}
