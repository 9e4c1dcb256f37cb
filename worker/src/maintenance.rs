//! What has to be done from time to time: jobs made due, rescued and pruned, tickets posted for
//! what is pending, garbage collected. Safe to run in every worker at once.

use std::{fmt::Display, time::Duration};

use media_shared::{
    blob_ledger::COLLECT_BATCH,
    job_ledger::PRUNE_BATCH,
    services::Services,
    tickets::{MAX_WAITING, Tickets as _, local::LocalTickets},
};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// How often the schedule and the leases are looked at.
const TURN: Duration = Duration::from_secs(1);
/// How long one step may take.
const STEP_LIMIT: Duration = Duration::from_mins(2);
/// How often garbage is collected.
const COLLECT_EVERY: Duration = Duration::from_secs(5);
/// How often finished jobs are pruned.
const PRUNE_EVERY: Duration = Duration::from_mins(1);

/// What one worker maintains.
#[derive(Clone)]
pub(crate) struct Maintenance {
    pub(crate) services: Services,
    /// Wakes this worker.
    pub(crate) local: LocalTickets,
    /// How many tickets can be of use to this worker.
    pub(crate) concurrency: usize,
    /// How long finished jobs are kept.
    pub(crate) job_retention: Duration,
}

impl Maintenance {
    /// Makes pending what is due or lost, and says so to the workers, until `end`: that may come
    /// between any two statements, and each is whole by itself.
    pub(crate) async fn keep_jobs_moving(self, end: CancellationToken) {
        let mut turns = turns(TURN);
        let moving = async {
            loop {
                turns.tick().await;
                self.move_jobs().await;
            }
        };
        end.run_until_cancelled(moving).await;
    }

    /// Collects garbage and prunes finished jobs, until `end`. Apart from the schedule, which a
    /// slow storage must not hold up.
    pub(crate) async fn clean_up(self, end: CancellationToken) {
        let mut collections = turns(COLLECT_EVERY);
        let mut prunings = turns(PRUNE_EVERY);
        let cleaning = async {
            loop {
                tokio::select! {
                    _ = collections.tick() => self.collect().await,
                    _ = prunings.tick() => self.prune().await,
                }
            }
        };
        end.run_until_cancelled(cleaning).await;
    }

    async fn move_jobs(&self) {
        let jobs = &self.services.jobs;
        if let Some(due @ 1..) = attempt("schedule", jobs.promote_due()).await {
            // The other workers need not wait for their own turn.
            self.services
                .tickets
                .post(usize::try_from(due).unwrap_or(MAX_WAITING));
        }
        attempt("rescue", jobs.rescue_expired()).await;
        let limit = self.concurrency as u64;
        if let Some(pending) = attempt("reconcile", jobs.count_pending(limit)).await {
            let pending = usize::try_from(pending).unwrap_or(self.concurrency);
            self.local.post(pending);
        }
    }

    async fn collect(&self) {
        let Services { blobs, store, .. } = &self.services;
        while let Some(removed @ 1..) = attempt("collect", blobs.collect(store)).await {
            tracing::debug!(removed, "collected garbage");
            if removed < COLLECT_BATCH {
                return;
            }
        }
    }

    async fn prune(&self) {
        let jobs = &self.services.jobs;
        while let Some(removed @ 1..) = attempt("prune", jobs.prune(self.job_retention)).await {
            tracing::info!(removed, "pruned finished jobs");
            if removed < PRUNE_BATCH {
                return;
            }
        }
    }
}

/// Turns at intervals; one that is late puts the others off.
fn turns(every: Duration) -> Interval {
    let mut turns = interval(every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    turns
}

/// Does one thing; a failure is logged, and the next turn tries again.
async fn attempt<T, E: Display>(what: &str, work: impl Future<Output = Result<T, E>>) -> Option<T> {
    match timeout(STEP_LIMIT, work).await {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            tracing::warn!(what, %error, "maintenance failed");
            None
        }
        Err(_) => {
            tracing::warn!(what, "maintenance took too long");
            None
        }
    }
}
