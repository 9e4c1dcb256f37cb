//! Runs jobs: claims the most urgent, runs it, writes down how it ended, and claims again.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use media_database::{
    job_repository::{Claimed, Claims, JobError, JobRepository, SlotUse},
    media_repository::NewMedia,
};
use media_domain::{
    ids::WorkerId,
    job::{Failure, FailureCode, KnownClass, Lease, MediaImport},
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
    import::Importer,
    readiness::Readiness,
    slots::{RESERVE_CHECK_INTERVAL, Slots},
};

/// How often a worker whose storage is away looks whether it could take a ticket.
const ROOM_CHECK: Duration = Duration::from_millis(500);
/// What this worker can run.
const KNOWN: [KnownClass; 1] = [KnownClass::of::<MediaImport>()];
/// How long the database has for one statement of a claim or an outcome.
const STATEMENT_LIMIT: Duration = Duration::from_mins(1);
/// How long to wait before an outcome that the database would not take is written again.
const REWRITE_DELAY: Duration = Duration::from_millis(500);
/// How long an outcome is kept for a database that will not take it; then the job is left to the
/// rescue.
const REWRITE_LIMIT: Duration = Duration::from_mins(10);

/// Runs jobs, one at a time for each ticket it is given.
#[derive(Clone)]
pub(crate) struct Runner(Arc<Inner>);

struct Inner {
    jobs: JobRepository,
    claims: Claims,
    importer: Importer,
    active: ActiveJobs,
    readiness: Arc<Readiness>,
    /// How long one attempt may take.
    total: Duration,
    /// No more claims.
    draining: CancellationToken,
    slots: Slots,
    /// Open while somebody works: a claim that is under way counts before its job is known.
    working: TaskTracker,
}

/// How an attempt ended.
enum Outcome {
    Stored(Box<NewMedia>),
    Failed(Failure),
    Stopped(StopReason),
}

impl Outcome {
    /// What is counted once it is written, with what it has brought.
    fn settled(&self) -> AttemptOutcome {
        match self {
            Self::Stored(media) => {
                metrics().stored(Stored::Import, media.size);
                AttemptOutcome::Succeeded
            }
            Self::Failed(failure) => {
                metrics().attempt_failed(failure.code);
                if failure.postponed {
                    AttemptOutcome::Postponed
                } else {
                    AttemptOutcome::Failed
                }
            }
            Self::Stopped(StopReason::Signal) => AttemptOutcome::Stopped,
            Self::Stopped(StopReason::Shutdown | StopReason::StorageAway) => {
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
        total: Duration,
        concurrency: usize,
        draining: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            claims: jobs.claims(worker, &KNOWN),
            jobs,
            importer,
            active,
            readiness,
            total,
            draining,
            slots: Slots::new(concurrency),
            working: TaskTracker::new(),
        }))
    }

    /// Works until nothing is pending.
    pub(crate) async fn work(&self) {
        let _working = self.0.working.token();
        // The semaphore is never closed.
        while let Ok((slot, slot_use)) = self.0.slots.acquire().await {
            if self.0.draining.is_cancelled() || !self.0.readiness.is_good().await {
                return;
            }
            match timeout(STATEMENT_LIMIT, self.0.claims.next(slot_use)).await {
                Ok(Ok(Some(claimed))) => self.run(claimed, slot).await,
                // A job may be pending that only another slot is for.
                Ok(Ok(None)) if slot_use != SlotUse::AnyProject => {
                    drop(slot);
                    sleep(RESERVE_CHECK_INTERVAL).await;
                }
                Ok(Ok(None)) => return,
                // The maintenance loop posts a ticket again when the database is back.
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

    /// Runs an attempt, as a part of the trace that the job was asked for in.
    async fn run(&self, claimed: Claimed, slot: SemaphorePermit<'_>) {
        // Of the most urgent level, so that no line is without the job that it is about.
        let span = tracing::error_span!(
            "attempt",
            otel.name = %claimed.job.job_class,
            job = %claimed.lease.job_id,
            attempt = claimed.lease.attempt,
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
        let guard = self.0.active.enter(claimed.lease);
        let outcome = match self.attempt(claimed, &guard).await {
            // No attempt is spent on what is not the import's fault.
            Outcome::Failed(failure)
                if failure.code == FailureCode::StorageFailed && !self.0.readiness.look().await =>
            {
                Outcome::Stopped(StopReason::StorageAway)
            }
            outcome => outcome,
        };
        if matches!(outcome, Outcome::Stopped(_)) {
            // The attempt was dropped where it stood, and writes no more.
            let discarded = self.0.importer.discard(claimed.lease, &guard.job);
            // The collector finds what could not be given up in time.
            let _ = timeout(STATEMENT_LIMIT, discarded).await;
        }
        // Its bytes are where they belong: the next import may begin while this one is written down.
        drop(slot);
        let settling = self.settle(claimed.lease, outcome, &guard);
        let outcome = settling.instrument(info_span!("record")).await;
        metrics().attempt_ended(&claimed.job.job_class, outcome, begun.elapsed());
        outcome
    }

    async fn attempt(&self, claimed: &Claimed, guard: &ActiveGuard) -> Outcome {
        let import = AssertUnwindSafe(self.0.importer.run(claimed, &guard.job));
        let import = timeout(self.0.total, import.catch_unwind());
        tokio::select! {
            biased;
            reason = guard.job.stopped() => Outcome::Stopped(reason),
            result = import => match result {
                Ok(Ok(Ok(media))) => Outcome::Stored(Box::new(media)),
                Ok(Ok(Err(failure))) => Outcome::Failed(failure),
                Ok(Err(panic)) => Outcome::Failed(panicked(claimed.lease, &*panic)),
                Err(_) => Outcome::Failed(Failure::new(
                    FailureCode::TotalTimeout,
                    format!("the import was not done within {:?}", self.0.total),
                )),
            },
        }
    }

    /// Writes down how the attempt ended. While the database will not take it, tries again: by then
    /// the lease may be lost, and the job another's.
    async fn settle(
        &self,
        lease: Lease,
        mut outcome: Outcome,
        guard: &ActiveGuard,
    ) -> AttemptOutcome {
        let give_up = Instant::now() + REWRITE_LIMIT;
        while Instant::now() < give_up {
            match timeout(STATEMENT_LIMIT, self.write(lease, &outcome)).await {
                Ok(Ok(())) => return outcome.settled(),
                Ok(Err(JobError::LeaseLost | JobError::BlobLost)) => {
                    tracing::warn!(%lease, "a past attempt was refused");
                    metrics().write_fenced();
                    self.disown(guard).await;
                    return AttemptOutcome::Lost;
                }
                Ok(Err(JobError::Denied(_))) => {
                    self.disown(guard).await;
                    outcome = Outcome::Failed(overwrite_denied());
                    continue;
                }
                Ok(Err(error)) => tracing::warn!(%lease, %error, "the outcome is not written yet"),
                Err(_) => tracing::warn!(%lease, "the database did not take the outcome"),
            }
            metrics().background_error(BackgroundTask::Complete);
            // A stop means nothing to an attempt that has ended, unless the job is another's.
            let lost = guard.job.lost();
            if timeout(REWRITE_DELAY, lost).await.is_ok() {
                self.disown(guard).await;
                return AttemptOutcome::Lost;
            }
        }
        tracing::error!(%lease, "the outcome could not be written; the job will be rescued");
        AttemptOutcome::Lost
    }

    /// Gives up what an attempt has written whose job is another's by now.
    async fn disown(&self, guard: &ActiveGuard) {
        if let Some(blob) = guard.job.staged() {
            let disowned = self.0.importer.disown(&blob);
            let _ = timeout(STATEMENT_LIMIT, disowned).await;
        }
    }

    async fn write(&self, lease: Lease, outcome: &Outcome) -> Result<(), JobError> {
        let jobs = &self.0.jobs;
        match outcome {
            Outcome::Stored(media) => {
                let media = jobs.complete(lease, (**media).clone()).await?;
                tracing::info!(%lease, media = %media.id, size = media.size, "imported");
            }
            Outcome::Failed(failure) => {
                let job = jobs.fail(lease, failure.clone()).await?;
                tracing::info!(%lease, code = %failure.code, status = job.status.as_str(), "not imported");
            }
            Outcome::Stopped(StopReason::Signal) => {
                let job = jobs.stopped(lease).await?;
                tracing::info!(%lease, status = job.status.as_str(), "stopped by a signal");
            }
            Outcome::Stopped(StopReason::Shutdown | StopReason::StorageAway) => {
                jobs.release(lease).await?;
                tracing::info!(%lease, "handed back");
            }
            Outcome::Stopped(StopReason::LeaseLost) => {
                tracing::warn!(%lease, "stopped: the lease is lost");
            }
        }
        Ok(())
    }

    /// Waits until another job could run.
    pub(crate) async fn has_room(&self) {
        while !self.0.readiness.is_good().await {
            sleep(ROOM_CHECK).await;
        }
        self.0.slots.wait_for_shared().await;
    }

    /// Waits until nobody works any more.
    pub(crate) async fn idle(&self) {
        self.0.working.close();
        self.0.working.wait().await;
    }
}

fn overwrite_denied() -> Failure {
    Failure::new(
        FailureCode::OverwriteDenied,
        "somebody else's media is at this resource and key, and whoever asked for the import may not \
         replace it; choose another key",
    )
}

fn panicked(lease: Lease, panic: &(dyn Any + Send)) -> Failure {
    tracing::error!(%lease, message = panic_message(panic), "an import panicked");
    Failure::new(
        FailureCode::Internal,
        "a defect in the service ended this import; its log says more",
    )
}
