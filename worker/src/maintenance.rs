//! What has to be done from time to time: jobs made due, rescued and pruned, tickets posted for
//! what is pending, garbage collected. Safe to run in every worker at once.

use std::{
    fmt::Display,
    time::{Duration, Instant, SystemTime},
};

use media_database::{
    blob_repository::COLLECT_BATCH,
    job_repository::{PRUNE_BATCH, StrayLeases},
};
use media_services::{
    Services,
    wakeups::{MAX_WAITING, Tickets as _, local::LocalNotifier},
};
use media_telemetry::metrics::{BackgroundTask, metrics};
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
    pub(crate) local: LocalNotifier,
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
        let mut watch = Watch::new(self.services.jobs.lease(), SystemTime::now());
        let moving = async {
            loop {
                turns.tick().await;
                self.move_jobs(&mut watch).await;
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

    async fn move_jobs(&self, watch: &mut Watch) {
        let jobs = &self.services.jobs;
        let limit = self.concurrency as u64;
        // Asked first, for it changes nothing: no worker's jobs are taken in a turn in which the database has
        // not answered before, since it may have been away for as long as a lease.
        let Some(pending) = attempt(BackgroundTask::Reconcile, jobs.count_pending(limit)).await
        else {
            return;
        };
        watch.succeeded(SystemTime::now());
        let pending = usize::try_from(pending).unwrap_or(self.concurrency);
        self.local.post(pending);
        // A step that fails stops none of the others.
        if let Some(due @ 1..) = attempt(BackgroundTask::Schedule, jobs.promote_due()).await {
            // The other workers need not wait for their own turn.
            let due = usize::try_from(due).unwrap_or(MAX_WAITING);
            self.services.notifier.notify(due);
        }
        if watch.is_long_enough(SystemTime::now()) {
            attempt(BackgroundTask::Rescue, jobs.rescue_expired()).await;
            let stray = jobs.rescue_stray(&mut watch.stray, Instant::now());
            attempt(BackgroundTask::Rescue, stray).await;
        }
    }

    async fn collect(&self) {
        let Services { blobs, store, .. } = &self.services;
        while let Some(removed @ 1..) = attempt(BackgroundTask::Collect, blobs.collect(store)).await
        {
            metrics().collected(removed);
            tracing::debug!(removed, "collected garbage");
            if removed < COLLECT_BATCH {
                return;
            }
        }
    }

    async fn prune(&self) {
        attempt(BackgroundTask::Prune, self.services.host_limits.prune()).await;
        let jobs = &self.services.jobs;
        while let Some(removed @ 1..) =
            attempt(BackgroundTask::Prune, jobs.prune(self.job_retention)).await
        {
            metrics().pruned(removed);
            tracing::info!(removed, "pruned finished jobs");
            if removed < PRUNE_BATCH {
                return;
            }
        }
    }
}

/// For how long this worker could have seen the others' heartbeats. When the database was away, or
/// this process frozen, no lease was renewed or none was seen to be: everybody gets the length of a
/// lease to give a sign of life before anybody's jobs are taken.
struct Watch {
    lease: Duration,
    since: SystemTime,
    last_success: SystemTime,
    /// Leases that the clock says nothing about.
    stray: StrayLeases,
}

impl Watch {
    fn new(lease: Duration, now: SystemTime) -> Self {
        Self {
            lease,
            since: now,
            last_success: now,
            stray: StrayLeases::default(),
        }
    }

    /// The database has answered. An answer that comes long after the one before begins the watch
    /// anew, and so does a clock that was set back. By the wall clock, which goes on while a machine
    /// sleeps, and by which leases run out.
    fn succeeded(&mut self, now: SystemTime) {
        let gap = now.duration_since(self.last_success);
        if gap.is_ok_and(|gap| gap <= self.lease / 2) {
            self.last_success = now;
            return;
        }
        self.since = now;
        self.last_success = now;
        self.stray = StrayLeases::default();
    }

    fn is_long_enough(&self, now: SystemTime) -> bool {
        now.duration_since(self.since)
            .is_ok_and(|watched| watched > self.lease)
    }
}

/// Turns at intervals; one that is late puts the others off.
fn turns(every: Duration) -> Interval {
    let mut turns = interval(every);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    turns
}

/// Does one thing; a failure is logged, and the next turn tries again.
async fn attempt<T, E: Display>(what: Work, work: impl Future<Output = Result<T, E>>) -> Option<T> {
    match timeout(STEP_LIMIT, work).await {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            metrics().background_error(what);
            tracing::warn!(?what, %error, "maintenance failed");
            None
        }
        Err(_) => {
            metrics().background_error(what);
            tracing::warn!(?what, "maintenance took too long");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(4);
    const SECOND: Duration = Duration::from_secs(1);

    /// Watches for some seconds, one success in each.
    fn watch_for(watch: &mut Watch, now: &mut SystemTime, seconds: u32) {
        for _ in 0..seconds {
            *now += SECOND;
            watch.succeeded(*now);
        }
    }

    #[test]
    fn an_outage_and_a_clock_that_is_set_back_begin_the_watch_anew() {
        let mut now = SystemTime::UNIX_EPOCH + Duration::from_hours(10_000);
        let mut watch = Watch::new(LEASE, now);
        watch_for(&mut watch, &mut now, 4);
        assert!(!watch.is_long_enough(now));
        watch_for(&mut watch, &mut now, 1);
        assert!(watch.is_long_enough(now));

        now += LEASE;
        watch.succeeded(now);
        assert!(!watch.is_long_enough(now), "after an outage");
        watch_for(&mut watch, &mut now, 5);
        assert!(watch.is_long_enough(now));

        now -= Duration::from_hours(1);
        watch.succeeded(now);
        assert!(!watch.is_long_enough(now), "after the clock was set back");
        watch_for(&mut watch, &mut now, 5);
        assert!(watch.is_long_enough(now), "and not an hour later");
    }
}
