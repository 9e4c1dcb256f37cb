//! Runs jobs: claims the most urgent, runs it, writes down how it ended, and claims again.

use std::{any::Any, panic::AssertUnwindSafe, sync::Arc, time::Duration};

use futures_util::FutureExt as _;
use media_shared::{
    database::is_unavailable,
    ids::WorkerId,
    job::{Failure, FailureCode},
    job_ledger::{Claimed, JobLedger, Lease, LedgerError},
    media_ledger::NewMedia,
    telemetry::panic_message,
};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::{
    active_jobs::{ActiveGuard, ActiveJobs, StopReason},
    import::Importer,
};

/// How long to wait before an outcome that the database would not take is written again.
const REWRITE_DELAY: Duration = Duration::from_millis(500);

/// Runs jobs, one at a time for each ticket it is given.
#[derive(Clone)]
pub(crate) struct Runner(Arc<Inner>);

struct Inner {
    worker: WorkerId,
    jobs: JobLedger,
    importer: Importer,
    active: ActiveJobs,
    /// How long one attempt may take.
    total: Duration,
    /// No more claims.
    draining: CancellationToken,
}

/// How an attempt ended.
enum Outcome {
    Stored(Box<NewMedia>),
    Failed(Failure),
    Stopped(StopReason),
}

impl Runner {
    pub(crate) fn new(
        jobs: JobLedger,
        importer: Importer,
        active: ActiveJobs,
        total: Duration,
        draining: CancellationToken,
    ) -> Self {
        Self(Arc::new(Inner {
            worker: WorkerId::generate(),
            jobs,
            importer,
            active,
            total,
            draining,
        }))
    }

    /// Works until nothing is pending.
    pub(crate) async fn work(&self) {
        while !self.0.draining.is_cancelled() {
            match self.0.jobs.claim(self.0.worker).await {
                Ok(Some(claimed)) => self.run(claimed).await,
                Ok(None) => return,
                Err(error) => {
                    // The maintenance loop posts a ticket again when the database is back.
                    tracing::warn!(%error, "no job could be claimed");
                    return;
                }
            }
        }
    }

    async fn run(&self, claimed: Claimed) {
        let guard = self.0.active.enter(claimed.lease);
        let outcome = self.attempt(&claimed, &guard).await;
        self.settle(claimed.lease, outcome, &guard).await;
    }

    async fn attempt(&self, claimed: &Claimed, guard: &ActiveGuard) -> Outcome {
        let import = AssertUnwindSafe(self.0.importer.run(claimed, &guard.job.progress));
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

    /// Writes down how the attempt ended. While the database is away, it tries again: until then
    /// the lease may run out, and the job is another's.
    async fn settle(&self, lease: Lease, outcome: Outcome, guard: &ActiveGuard) {
        loop {
            match self.write(lease, &outcome).await {
                Ok(()) => return,
                Err(LedgerError::LeaseLost) => {
                    tracing::warn!(%lease, "a past attempt was refused");
                    return;
                }
                Err(LedgerError::Database(error)) if is_unavailable(&error) => {
                    tracing::warn!(%lease, %error, "the outcome could not be written yet");
                    let lost = async {
                        while guard.job.stopped().await != StopReason::LeaseLost {
                            std::future::pending::<()>().await;
                        }
                    };
                    if timeout(REWRITE_DELAY, lost).await.is_ok() {
                        return;
                    }
                }
                Err(error) => {
                    tracing::error!(%lease, %error, "the outcome could not be written");
                    return;
                }
            }
        }
    }

    async fn write(&self, lease: Lease, outcome: &Outcome) -> Result<(), LedgerError> {
        let jobs = &self.0.jobs;
        match outcome {
            Outcome::Stored(media) => {
                let media = jobs.succeed(lease, (**media).clone()).await?;
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
            Outcome::Stopped(StopReason::Shutdown) => {
                jobs.hand_back(lease).await?;
                tracing::info!(%lease, "handed back");
            }
            Outcome::Stopped(StopReason::LeaseLost) => {
                tracing::warn!(%lease, "stopped: the lease is lost");
            }
        }
        Ok(())
    }

    /// Waits until no job runs.
    pub(crate) async fn idle(&self) {
        const LOOK_EVERY: Duration = Duration::from_millis(20);
        while !self.0.active.is_empty() {
            sleep(LOOK_EVERY).await;
        }
    }
}

fn panicked(lease: Lease, panic: &(dyn Any + Send)) -> Failure {
    tracing::error!(%lease, message = panic_message(panic), "an import panicked");
    Failure::new(
        FailureCode::Internal,
        "a defect in the service ended this import; its log says more",
    )
}
