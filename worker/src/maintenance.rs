//! What has to be done from time to time: jobs made due, rescued and pruned, tickets posted for
//! what is pending, garbage collected. Safe to run in every worker at once.

use std::{fmt::Display, future::Future, time::Duration};

use media_shared::services::Services;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

/// How often the schedule and the leases are looked at.
const TURN: Duration = Duration::from_secs(1);
/// How often garbage is collected.
const COLLECT_EVERY: Duration = Duration::from_secs(5);
/// How often finished jobs are pruned.
const PRUNE_EVERY: Duration = Duration::from_mins(1);

/// What one worker maintains.
pub(crate) struct Maintenance {
    pub(crate) services: Services,
    /// How many tickets can be of use: the worker's concurrency.
    pub(crate) tickets: usize,
    /// How long finished jobs are kept.
    pub(crate) job_retention: Duration,
}

impl Maintenance {
    /// Turns until `end`.
    pub(crate) async fn run(self, end: CancellationToken) {
        let mut ticks = interval(TURN);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut collected = Every::new(COLLECT_EVERY);
        let mut pruned = Every::new(PRUNE_EVERY);
        loop {
            tokio::select! {
                () = end.cancelled() => return,
                _ = ticks.tick() => {}
            }
            self.wake().await;
            if collected.is_due() {
                self.collect().await;
            }
            if pruned.is_due() {
                self.prune().await;
            }
        }
    }

    /// Makes pending what is due or lost, and says so to the workers.
    async fn wake(&self) {
        let jobs = &self.services.jobs;
        attempt("schedule", jobs.promote_due()).await;
        attempt("rescue", jobs.rescue_expired()).await;
        let limit = self.tickets as u64;
        if let Some(pending) = attempt("reconcile", jobs.count_pending(limit)).await {
            self.services
                .tickets
                .post(usize::try_from(pending).unwrap_or(self.tickets))
                .await;
        }
    }

    async fn collect(&self) {
        let Services { blobs, store, .. } = &self.services;
        if let Some(removed @ 1..) = attempt("collect", blobs.collect(store)).await {
            tracing::debug!(removed, "collected garbage");
        }
    }

    async fn prune(&self) {
        let jobs = &self.services.jobs;
        if let Some(removed @ 1..) = attempt("prune", jobs.prune(self.job_retention)).await {
            tracing::info!(removed, "pruned finished jobs");
        }
    }
}

/// Something to do at intervals.
struct Every {
    interval: Duration,
    next: Instant,
}

impl Every {
    fn new(interval: Duration) -> Self {
        Self {
            interval,
            next: Instant::now(),
        }
    }

    fn is_due(&mut self) -> bool {
        let now = Instant::now();
        let due = now >= self.next;
        if due {
            self.next = now + self.interval;
        }
        due
    }
}

/// Does one thing; a failure is logged, and the next turn tries again.
async fn attempt<T, E: Display>(what: &str, work: impl Future<Output = Result<T, E>>) -> Option<T> {
    work.await
        .inspect_err(|error| tracing::warn!(what, %error, "maintenance failed"))
        .ok()
}
