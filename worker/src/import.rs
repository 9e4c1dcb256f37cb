//! The job class `media:import`: from a URL to stored bytes and all that is to be recorded of them.

use std::sync::Arc;

use media_database::{
    blob_repository::BlobRepository, job_repository::Claimed, media_repository::NewMedia,
};
use media_domain::{
    blob::{BlobOwner, Checkpoint, StagedBlob, StoredBlob},
    job::{Failure, FailureCode, ImportArguments, Lease, arguments::redact_url},
};
use media_ingest::{Expectation, HEAD_BYTES, Ingest, IngestError};
use media_storage::BlobStore;
use media_telemetry::metrics::metrics;
use tokio::time::Instant;
use tracing::{Instrument as _, info_span};

use crate::{
    active_jobs::ActiveJob,
    fetch::{FetchError, Fetcher, Identity, Target, Transfer},
};

/// How often one attempt starts over because the origin has other bytes than before.
const MAX_RESTARTS: usize = 2;
/// The number of a job's first attempt.
const FIRST_ATTEMPT: i32 = 1;

mod task;

use task::{Head, Task, describe, read_arguments};

/// Imports what a URL gives.
#[derive(Clone)]
pub(crate) struct Importer {
    fetcher: Fetcher,
    blobs: BlobRepository,
    store: Arc<dyn BlobStore>,
    max_bytes: u64,
}

impl Importer {
    /// An importer that takes at most `max_bytes` of any one URL.
    pub(crate) fn new(
        fetcher: Fetcher,
        blobs: BlobRepository,
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
        let arguments = read_arguments(&claimed.job)?;
        let target = Target::new(&arguments.url, arguments.headers.as_ref())?;
        let task = Task {
            arguments: &arguments,
            target: &target,
            expectation: self.expectation(&arguments),
            lease: claimed.lease,
            project: claimed.job.project_id.as_deref(),
            job,
        };
        let mut source = self.go_on(&task).await?;
        for _ in 0..=MAX_RESTARTS {
            let (transfer, ingest) = match source {
                Source::Rest(transfer, ingest) => (transfer, ingest),
                Source::Whole(transfer) => self.begin(&task, transfer).await?,
            };
            source = match self.store(&task, transfer, ingest).await {
                Ok((head, sealed)) => {
                    let job = &claimed.job;
                    return Ok(describe(arguments, &head, &sealed, job, &self.store).await);
                }
                Err(FetchError::Failed(failure)) => return Err(failure),
                Err(FetchError::Changed(whole)) => {
                    tracing::info!(lease = %claimed.lease, "the origin has other bytes; starting over");
                    Source::Whole(whole.map(|whole| *whole))
                }
            }
        }
        Err(Failure::new(
            FailureCode::IncompleteBody,
            format!(
                "{} gave other bytes each time its connection broke",
                redact_url(&arguments.url)
            ),
        ))
    }

    /// Opens storage for all the bytes, and the origin if that is still to be done.
    async fn begin(
        &self,
        task: &Task<'_>,
        transfer: Option<Transfer>,
    ) -> Result<(Transfer, Ingest), Failure> {
        let transfer = match transfer {
            Some(transfer) => transfer,
            None => self.fetcher.start(task.target).await?,
        };
        let total = transfer.head().identity.total;
        if let Some(announced) = total {
            task.expectation
                .check_announced(announced)
                .map_err(|error| task.failure(&error))?;
            task.job.progress.announce(announced);
        }
        let ingest = Ingest::open(
            &self.blobs,
            &self.store,
            (BlobOwner::Attempt(task.lease), task.project),
            task.expectation,
            total,
        )
        .await
        .map_err(|error| task.failure(&error))?;
        task.job.stage(ingest.blob().clone());
        Ok((transfer, ingest))
    }

    /// Opens both for the bytes that an earlier attempt did not get, if what it got is still good.
    async fn go_on(&self, task: &Task<'_>) -> Result<Source, Failure> {
        if task.lease.attempt == FIRST_ATTEMPT {
            return Ok(Source::Whole(None));
        }
        let found = self.blobs.resume_checkpoint(task.lease).await;
        let Some((blob, checkpoint)) = found.map_err(|error| task.failure(&error.into()))? else {
            return Ok(Source::Whole(None));
        };
        task.job.stage(blob.clone());
        let transfer = match self.fetch_rest(task, &checkpoint).await {
            Ok(transfer) => transfer,
            Err(FetchError::Failed(failure)) if may_refuse_parts_only(task.lease, &failure) => {
                let whole = self.fetcher.start(task.target).await.map_err(|_| failure)?;
                return Ok(self.start_over(&blob, Some(Box::new(whole))).await);
            }
            Err(FetchError::Failed(failure)) => return Err(failure),
            Err(FetchError::Changed(whole)) => return Ok(self.start_over(&blob, whole).await),
        };
        let kept = checkpoint.prefix.bytes;
        let left = (blob, checkpoint);
        let ingest = Ingest::resume(&self.blobs, &self.store, left, task.expectation).await;
        let Some(ingest) = ingest.map_err(|error| task.failure(&error))? else {
            return Ok(Source::Whole(None));
        };
        tracing::info!(lease = %task.lease, kept, "going on where an earlier attempt stopped");
        if let Some(total) = transfer.head().identity.total {
            task.job.progress.announce(total);
        }
        task.job.progress.advance(kept);
        Ok(Source::Rest(transfer, ingest))
    }

    async fn start_over(&self, left: &StagedBlob, whole: Option<Box<Transfer>>) -> Source {
        if let Err(error) = self.blobs.abandon(left).await {
            tracing::warn!(%error, "what an earlier attempt left stays until the job ends");
        }
        Source::Whole(whole.map(|whole| *whole))
    }

    /// Asks the origin for what comes after a checkpoint.
    async fn fetch_rest(
        &self,
        task: &Task<'_>,
        checkpoint: &Checkpoint,
    ) -> Result<Transfer, FetchError> {
        let identity = serde_json::from_value::<Identity>(checkpoint.origin.clone());
        let identity = identity.map_err(|_| FetchError::Changed(None))?;
        let kept = checkpoint.prefix.bytes;
        self.fetcher.resume(task.target, &identity, kept).await
    }

    /// Streams the bytes into storage.
    async fn store(
        &self,
        task: &Task<'_>,
        mut transfer: Transfer,
        mut ingest: Ingest,
    ) -> Result<(Head, StoredBlob), FetchError> {
        let streaming = self.stream(task, &mut transfer, &mut ingest);
        match streaming.instrument(info_span!("stream")).await {
            Ok(()) => {}
            Err(Broken::Storage(error)) => {
                let transient =
                    matches!(&error, IngestError::Storage(error) if error.is_transient());
                let origin = origin_of(&transfer).filter(|_| transient && !transfer.is_whole());
                leave(origin, ingest, transient).await;
                return Err(task.broken(&error, false));
            }
            Err(Broken::Fetch(error)) => {
                let worth_it =
                    matches!(&error, FetchError::Failed(failure) if failure.code.is_retryable());
                let origin = origin_of(&transfer).filter(|_| worth_it && !transfer.is_whole());
                leave(origin, ingest, worth_it).await;
                return Err(error);
            }
        }
        let head = Head::of(transfer.head());
        let blob = ingest.blob().clone();
        let resumed = ingest.is_resumed();
        let sealed = ingest.finish().instrument(info_span!("seal")).await;
        let sealed = sealed.map_err(|error| task.broken(&error, resumed))?;
        if let Err(failure) = task.check_type(&head, &sealed.head) {
            self.disown(&blob).await;
            return Err(failure.into());
        }
        Ok((head, sealed))
    }

    async fn stream(
        &self,
        task: &Task<'_>,
        transfer: &mut Transfer,
        ingest: &mut Ingest,
    ) -> Result<(), Broken> {
        let origin = origin_of(transfer);
        let (begun, kept) = (Instant::now(), ingest.size());
        let mut type_is_known = false;
        while let Some(chunk) = transfer.next().await? {
            metrics().fetched(chunk.len() as u64);
            ingest.write(chunk).await?;
            task.job.progress.advance(ingest.size());
            if !type_is_known && ingest.head().len() == HEAD_BYTES {
                // Early: what is not wanted is not fetched to its end.
                task.check_type(&Head::of(transfer.head()), ingest.head())
                    .map_err(FetchError::from)?;
                type_is_known = true;
            }
            if let Some(origin) = &origin
                && ingest.is_checkpoint_due()
                && !transfer.is_whole()
            {
                checkpoint(ingest, origin).await?;
            }
        }
        metrics().fetched_at(ingest.size() - kept, begun.elapsed());
        Ok(())
    }

    /// Gives up what an attempt had staged when it was stopped, except what the next one can go on
    /// from.
    pub(crate) async fn discard(&self, lease: Lease, job: &ActiveJob) {
        let released = async {
            self.blobs.abandon_attempt(lease).await?;
            match job.staged() {
                Some(blob) => self.blobs.recheck(&blob).await,
                None => Ok(()),
            }
        };
        if let Err(error) = released.await {
            tracing::warn!(%error, "a stopped import's blob is left to the collector");
        }
    }

    /// Gives up the blob of an attempt that is over.
    pub(crate) async fn disown(&self, blob: &StagedBlob) {
        if let Err(error) = self.blobs.abandon_stale(blob).await {
            tracing::error!(%error, blob = %blob.id, "a past attempt's blob could not be given up");
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

/// Where an attempt begins.
#[allow(
    clippy::large_enum_variant,
    reason = "one for each attempt, for a moment"
)]
enum Source {
    /// With the first byte; the answer may be there already.
    Whole(Option<Transfer>),
    /// Where an earlier attempt stopped.
    Rest(Transfer, Ingest),
}

/// From this attempt on, an origin that fails at parts is asked for the whole: earlier, it is more likely
/// to be in trouble than unable, and what has come is worth more.
const DOUBTFUL_ATTEMPT: i32 = 4;

/// Whether an origin that refuses a part may give the whole all the same.
fn may_refuse_parts_only(lease: Lease, failure: &Failure) -> bool {
    match failure.code {
        FailureCode::OriginRefused => true,
        FailureCode::OriginError | FailureCode::InvalidResponse => {
            lease.attempt >= DOUBTFUL_ATTEMPT
        }
        _ => false,
    }
}

/// Why the bytes did not come to their end.
enum Broken {
    Fetch(FetchError),
    Storage(IngestError),
}

impl From<FetchError> for Broken {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl From<IngestError> for Broken {
    fn from(error: IngestError) -> Self {
        Self::Storage(error)
    }
}

/// What a later attempt has to know of the origin; nothing where it could not go on.
fn origin_of(transfer: &Transfer) -> Option<serde_json::Value> {
    let identity = &transfer.head().identity;
    serde_json::to_value(identity)
        .ok()
        .filter(|_| identity.can_be_resumed())
}

/// Writes down how far an attempt has come. Only what the next one would gain depends on it, so the
/// database may be away.
async fn checkpoint(ingest: &mut Ingest, origin: &serde_json::Value) -> Result<(), IngestError> {
    match ingest.checkpoint(origin).await {
        Err(IngestError::Database(error)) => {
            tracing::warn!(%error, "a checkpoint was not written");
            Ok(())
        }
        written => written,
    }
}

/// Leaves the bytes of a failed attempt to the next one, or gives them up. `origin` is there if the next
/// one can go on from a checkpoint; it is not borrowed from the transfer, which no two tasks share.
async fn leave(origin: Option<serde_json::Value>, mut ingest: Ingest, worth_it: bool) {
    if let Some(origin) = origin
        && let Err(error) = checkpoint(&mut ingest, &origin).await
    {
        tracing::debug!(%error, "the checkpoint of before has to do");
    }
    if !(worth_it && ingest.has_checkpoint()) {
        ingest.abandon().await;
    }
}
