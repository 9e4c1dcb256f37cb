//! Runs jobs: claims the most urgent one, runs an attempt, records the outcome, and claims the next.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use media_database::{
    job_repository::{Claimed, Claims, JobError, JobRepository, SlotUse},
    media_repository::NewMedia,
};
use media_domain::{
    ids::WorkerId,
    job::{Failure, FailureCode, IfExists, KnownClass, Lease, MediaImport, RetryDelay},
    media::WritePrecondition,
};
use media_telemetry::{
    TraceParent, export_attribute, export_failure,
    metrics::{AttemptOutcome, BackgroundTask, Stored, metrics},
    panic_message, record_trace_id,
};
use tokio::{
    sync::SemaphorePermit,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tracing::{Instrument as _, field::Empty, info_span};

use crate::{
    active_jobs::{ActiveGuard, ActiveJobs, StopReason},
    import::{Imported, Importer, Unchanged},
    readiness::Readiness,
    slots::{RESERVE_CHECK_INTERVAL, Slots},
};

/// Interval at which a worker that is not ready checks its capacity.
const CAPACITY_CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// The job classes that this worker supports.
const SUPPORTED_CLASSES: [KnownClass; 1] = [KnownClass::of::<MediaImport>()];
/// Timeout of a statement that claims a job or records an outcome.
const STATEMENT_TIMEOUT: Duration = Duration::from_mins(1);
/// Delay before an outcome that could not be recorded is written again.
const RECORD_RETRY_DELAY: Duration = Duration::from_millis(500);
/// Time for which an outcome is retried; then the job is left to be rescued.
const RECORD_TIMEOUT: Duration = Duration::from_mins(10);

/// Runs jobs, one at a time per call of [`Runner::work`].
#[derive(Clone)]
pub(crate) struct Runner(Arc<Inner>);

struct Inner {
    jobs: JobRepository,
    claims: Claims,
    importer: Importer,
    active: ActiveJobs,
    readiness: Arc<Readiness>,
    /// Timeout of one attempt.
    attempt_timeout: Duration,
    /// Stops further claims.
    draining: CancellationToken,
    slots: Slots,
    /// Counts running calls of [`Runner::work`], including those that are claiming a job.
    working: TaskTracker,
}

/// The outcome of an attempt, before it is recorded.
enum Outcome {
    Stored(Box<NewMedia>, IfExists),
    /// The media at the path stays.
    Unchanged(Unchanged),
    /// The media at the path has changed meanwhile: another attempt looks again.
    Overtaken,
    Failed(Failure),
    Stopped(StopReason),
}

impl Outcome {
    /// Counts a recorded outcome in the metrics.
    fn count(&self) -> AttemptOutcome {
        match self {
            Self::Stored(media, _) => {
                metrics().stored(Stored::Import, media.size);
                AttemptOutcome::Succeeded
            }
            Self::Unchanged(_) => AttemptOutcome::Succeeded,
            Self::Overtaken => AttemptOutcome::Released,
            Self::Failed(failure) => {
                metrics().attempt_failed(failure.code);
                match failure.delay {
                    RetryDelay::Postponed(_) => AttemptOutcome::Postponed,
                    RetryDelay::Backoff | RetryDelay::AtLeast(_) => AttemptOutcome::Failed,
                }
            }
            Self::Stopped(StopReason::Signal) => AttemptOutcome::Stopped,
            Self::Stopped(StopReason::Shutdown | StopReason::StorageUnavailable) => {
                AttemptOutcome::Released
            }
            Self::Stopped(StopReason::LeaseLost) => AttemptOutcome::Lost,
        }
    }
}

impl Runner {
    pub(crate) fn new(
        (worker, jobs): (WorkerId, JobRepository),
        importer: Importer,
        active: ActiveJobs,
        readiness: Arc<Readiness>,
        attempt_timeout: Duration,
        concurrency: usize,
        draining: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            claims: jobs.claims(worker, &SUPPORTED_CLASSES),
            jobs,
            importer,
            active,
            readiness,
            attempt_timeout,
            draining,
            slots: Slots::new(concurrency),
            working: TaskTracker::new(),
        }))
    }

    /// Runs jobs until none is pending.
    pub(crate) async fn work(&self) {
        let _working = self.0.working.token();
        // The semaphore is never closed.
        while let Ok((slot, slot_use)) = self.0.slots.acquire().await {
            if self.0.draining.is_cancelled() || !self.0.readiness.is_ready().await {
                return;
            }
            match timeout(STATEMENT_TIMEOUT, self.0.claims.next(slot_use)).await {
                Ok(Ok(Some(claimed))) => self.run(claimed, slot).await,
                // A pending job may need another kind of slot.
                Ok(Ok(None)) if slot_use != SlotUse::AnyProject => {
                    drop(slot);
                    sleep(RESERVE_CHECK_INTERVAL).await;
                }
                Ok(Ok(None)) => return,
                // The maintenance loop wakes this worker when the database is back.
                Ok(Err(error)) => {
                    metrics().background_error(BackgroundTask::Claim);
                    tracing::warn!(%error, "no job could be claimed");
                    return;
                }
                Err(_) => {
                    metrics().background_error(BackgroundTask::Claim);
                    tracing::warn!("the database did not answer a claim");
                    return;
                }
            }
        }
    }

    /// Runs an attempt within the trace of the request that created the job.
    async fn run(&self, claimed: Claimed, slot: SemaphorePermit<'_>) {
        // At the level of errors, so that every line of the log names its job.
        let span = tracing::error_span!(
            "attempt",
            otel.name = %claimed.job.job_class,
            job = %claimed.lease.job_id,
            attempt = claimed.lease.attempt.get(),
            trace_id = Empty,
        );
        if let Some(parent) = claimed.job.trace_parent.clone() {
            TraceParent::from_text(parent).adopt(&span);
        }
        record_trace_id(&span);
        let attempt = self.run_attempt(&claimed, slot);
        let outcome = attempt.instrument(span.clone()).await;
        export_attribute(&span, "outcome", outcome.label());
        if outcome == AttemptOutcome::Failed {
            export_failure(&span);
        }
    }

    async fn run_attempt(&self, claimed: &Claimed, slot: SemaphorePermit<'_>) -> AttemptOutcome {
        let begun = Instant::now();
        let guard = self.0.active.insert(claimed.lease);
        let outcome = match self.attempt(claimed, &guard).await {
            // An outage of storage uses no attempt.
            Outcome::Failed(failure)
                if failure.code == FailureCode::StorageFailed
                    && !self.0.readiness.check_now().await =>
            {
                Outcome::Stopped(StopReason::StorageUnavailable)
            }
            outcome => outcome,
        };
        if matches!(outcome, Outcome::Stopped(_)) {
            // The attempt's future was dropped, so it writes no more. A blob that cannot be released in time is
            // left to the collector.
            let released = self.0.importer.release(claimed.lease, &guard.job);
            let _ = timeout(STATEMENT_TIMEOUT, released).await;
        }
        // The transfer is complete: the next import may start while this outcome is recorded.
        drop(slot);
        let recording = self.record(claimed.lease, outcome, &guard);
        let outcome = recording.instrument(info_span!("record")).await;
        metrics().attempt_ended(&claimed.job.job_class, outcome, begun.elapsed());
        outcome
    }

    async fn attempt(&self, claimed: &Claimed, guard: &ActiveGuard) -> Outcome {
        let import = AssertUnwindSafe(self.0.importer.run(claimed, &guard.job));
        let import = timeout(self.0.attempt_timeout, import.catch_unwind());
        tokio::select! {
            biased;
            reason = guard.job.stopped() => Outcome::Stopped(reason),
            result = import => match result {
                Ok(Ok(Ok(Imported::New(media, if_exists)))) => Outcome::Stored(media, if_exists),
                Ok(Ok(Ok(Imported::Unchanged(unchanged)))) => Outcome::Unchanged(unchanged),
                Ok(Ok(Err(failure))) => Outcome::Failed(failure),
                Ok(Err(panic)) => Outcome::Failed(panicked(claimed.lease, &*panic)),
                Err(_) => Outcome::Failed(Failure::new(
                    FailureCode::TotalTimeout,
                    format!("the import did not finish within {:?}", self.0.attempt_timeout),
                )),
            },
        }
    }

    /// Records the outcome of an attempt. Retries while the database is unavailable; meanwhile the lease may be
    /// lost.
    async fn record(
        &self,
        lease: Lease,
        mut outcome: Outcome,
        guard: &ActiveGuard,
    ) -> AttemptOutcome {
        let deadline = Instant::now() + RECORD_TIMEOUT;
        while Instant::now() < deadline {
            match timeout(STATEMENT_TIMEOUT, self.write(lease, &outcome)).await {
                Ok(Ok(true)) => return outcome.count(),
                Ok(Ok(false)) => {
                    outcome = Outcome::Overtaken;
                    continue;
                }
                Ok(Err(JobError::LeaseLost | JobError::BlobLost)) => {
                    tracing::warn!(%lease, "a past attempt was refused");
                    metrics().write_fenced();
                    self.abandon_blob(guard).await;
                    return AttemptOutcome::Lost;
                }
                Ok(Err(JobError::PreconditionFailed(_))) => {
                    self.abandon_blob(guard).await;
                    outcome = match outcome {
                        Outcome::Stored(_, IfExists::Fail) => Outcome::Failed(already_exists()),
                        _ => Outcome::Overtaken,
                    };
                    continue;
                }
                Ok(Err(JobError::Denied(_))) => {
                    self.abandon_blob(guard).await;
                    outcome = Outcome::Failed(overwrite_denied());
                    continue;
                }
                Ok(Err(error)) => tracing::warn!(%lease, %error, "the outcome is not recorded yet"),
                Err(_) => tracing::warn!(%lease, "recording the outcome timed out"),
            }
            metrics().background_error(BackgroundTask::Complete);
            // Of the reasons to stop, only a lost lease matters after the end of an attempt.
            let lost = guard.job.lease_lost();
            if timeout(RECORD_RETRY_DELAY, lost).await.is_ok() {
                self.abandon_blob(guard).await;
                return AttemptOutcome::Lost;
            }
        }
        tracing::error!(%lease, "the outcome could not be recorded; the job will be rescued");
        AttemptOutcome::Lost
    }

    /// Abandons the blob of an attempt that has lost its job.
    async fn abandon_blob(&self, guard: &ActiveGuard) {
        if let Some(blob) = guard.job.staged() {
            let abandoned = self.0.importer.abandon(&blob);
            let _ = timeout(STATEMENT_TIMEOUT, abandoned).await;
        }
    }

    /// Records an outcome. Returns whether it still applies: nothing was written if not.
    async fn write(&self, lease: Lease, outcome: &Outcome) -> Result<bool, JobError> {
        let jobs = &self.0.jobs;
        match outcome {
            Outcome::Stored(media, if_exists) => {
                let condition = match if_exists {
                    IfExists::Fail | IfExists::Skip => WritePrecondition::if_absent(),
                    IfExists::Replace | IfExists::Refresh => WritePrecondition::default(),
                };
                let new = (**media).clone();
                let media = jobs.complete_if(lease, new, &condition).await?;
                tracing::info!(%lease, media = %media.id, size = media.size, "imported");
            }
            Outcome::Unchanged(unchanged) => {
                let Unchanged {
                    media,
                    origin,
                    shown_url,
                } = unchanged.clone();
                let id = media.id;
                let completed = jobs.complete_with(lease, media, origin, shown_url).await?;
                if completed.is_none() {
                    return Ok(false);
                }
                tracing::info!(%lease, media = %id, "not imported: the media stays");
            }
            Outcome::Overtaken => {
                jobs.release(lease).await?;
                tracing::info!(%lease, "released the job: the media at its path has changed");
            }
            Outcome::Failed(failure) => {
                let job = jobs.fail(lease, failure.clone()).await?;
                tracing::info!(%lease, code = %failure.code, status = job.status.as_str(), "not imported");
            }
            Outcome::Stopped(StopReason::Signal) => {
                let job = jobs.stopped(lease).await?;
                tracing::info!(%lease, status = job.status.as_str(), "stopped by a signal");
            }
            Outcome::Stopped(StopReason::Shutdown | StopReason::StorageUnavailable) => {
                jobs.release(lease).await?;
                tracing::info!(%lease, "released the job");
            }
            Outcome::Stopped(StopReason::LeaseLost) => {
                tracing::warn!(%lease, "stopped: the lease is lost");
            }
        }
        Ok(true)
    }

    /// Waits until this worker can run another job.
    pub(crate) async fn wait_for_capacity(&self) {
        while !self.0.readiness.is_ready().await {
            sleep(CAPACITY_CHECK_INTERVAL).await;
        }
        self.0.slots.wait_for_shared().await;
    }

    /// Waits until every call of [`Runner::work`] has returned.
    pub(crate) async fn idle(&self) {
        self.0.working.close();
        self.0.working.wait().await;
    }
}

fn already_exists() -> Failure {
    Failure::new(
        FailureCode::AlreadyExists,
        "there is a media at this resource and key by now, and `if_exists` is `fail`",
    )
}

fn overwrite_denied() -> Failure {
    Failure::new(
        FailureCode::OverwriteDenied,
        "this resource and key belong to media of another creator, which the creator of this job may not \
         replace; choose another key",
    )
}

fn panicked(lease: Lease, panic: &(dyn Any + Send)) -> Failure {
    tracing::error!(%lease, message = panic_message(panic), "an import panicked");
    Failure::new(
        FailureCode::Internal,
        "a defect in the service ended this import; see its log",
    )
}
