//! Periodic maintenance: promotes scheduled jobs, rescues jobs of lost workers, wakes workers for pending jobs,
//! deletes expired media, collects garbage and prunes finished jobs. Every worker may run it at the same time.

use std::{
    fmt::Display,
    time::{Duration, Instant, SystemTime},
};

use media_database::{
    blob_repository::COLLECT_BATCH,
    job_repository::{PRUNE_BATCH, StrayLeases},
    media_repository::EXPIRY_BATCH,
};
use media_ingest::garbage_collector;
use media_services::{
    Services,
    wakeups::{MAX_WAITING, Notifier as _, local::LocalNotifier},
};
use media_telemetry::metrics::{BackgroundTask, metrics};
use tokio::time::{Interval, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Interval of the checks of schedules and leases.
const SCHEDULE_INTERVAL: Duration = Duration::from_secs(1);
/// Timeout of one step.
const STEP_TIMEOUT: Duration = Duration::from_mins(2);
/// Interval of garbage collection.
const COLLECT_INTERVAL: Duration = Duration::from_secs(5);
/// Interval of pruning.
const PRUNE_INTERVAL: Duration = Duration::from_mins(1);

/// The maintenance of one worker.
#[derive(Clone)]
pub(crate) struct Maintenance {
    pub(crate) services: Services,
    /// Wakes this worker.
    pub(crate) local: LocalNotifier,
    /// Maximum number of useful wake-ups of this worker.
    pub(crate) concurrency: usize,
    /// How long finished jobs are kept.
    pub(crate) job_retention: Duration,
}

impl Maintenance {
    /// Makes due jobs and jobs of lost workers pending, and wakes workers, until `end`. It can stop between any
    /// two statements, as each is a transaction.
    pub(crate) async fn schedule_jobs(self, end: CancellationToken) {
        let mut ticks = ticks(SCHEDULE_INTERVAL);
        let mut observation = Observation::new(self.services.jobs.lease(), SystemTime::now());
        let scheduling = async {
            loop {
                ticks.tick().await;
                self.schedule(&mut observation).await;
            }
        };
        end.run_until_cancelled(scheduling).await;
    }

    /// Deletes expired media, collects garbage and prunes finished jobs until `end`: separately, so that slow storage does not delay
    /// the schedule.
    pub(crate) async fn clean_up(self, end: CancellationToken) {
        let mut collections = ticks(COLLECT_INTERVAL);
        let mut prunings = ticks(PRUNE_INTERVAL);
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

    async fn schedule(&self, observation: &mut Observation) {
        let jobs = &self.services.jobs;
        let limit = self.concurrency as u64;
        // Read first, to check that the database answers: if it was unavailable for as long as a lease, no jobs
        // may be taken from other workers.
        let Some(pending) = attempt(BackgroundTask::Reconcile, jobs.count_pending(limit)).await
        else {
            return;
        };
        observation.record_success(SystemTime::now());
        let pending = usize::try_from(pending).unwrap_or(self.concurrency);
        self.local.notify(pending);
        // A failed step does not stop the others.
        if let Some(due @ 1..) = attempt(BackgroundTask::Schedule, jobs.promote_due()).await {
            // Wakes the other workers before their next check.
            let due = usize::try_from(due).unwrap_or(MAX_WAITING);
            self.services.notifier.notify(due);
        }
        if observation.is_long_enough(SystemTime::now()) {
            attempt(BackgroundTask::Rescue, jobs.rescue_expired()).await;
            let stray = jobs.rescue_stray(&mut observation.stray, Instant::now());
            attempt(BackgroundTask::Rescue, stray).await;
        }
    }

    async fn collect(&self) {
        let Services {
            blobs,
            medias,
            store,
            ..
        } = &self.services;
        while let Some(expired @ 1..) =
            attempt(BackgroundTask::Collect, medias.delete_expired()).await
        {
            tracing::debug!(expired, "deleted expired media");
            if expired < EXPIRY_BATCH {
                break;
            }
        }
        while let Some(removed @ 1..) = attempt(
            BackgroundTask::Collect,
            garbage_collector::collect(blobs, store),
        )
        .await
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

/// The time for which this worker could have observed the heartbeats of others. While the database was
/// unavailable or this process was suspended, renewals were impossible or unseen: after that, all workers get
/// the duration of a lease for a heartbeat before their jobs are taken.
struct Observation {
    lease: Duration,
    since: SystemTime,
    last_success: SystemTime,
    /// Leases whose expiry the clock does not tell.
    stray: StrayLeases,
}

impl Observation {
    fn new(lease: Duration, now: SystemTime) -> Self {
        Self {
            lease,
            since: now,
            last_success: now,
            stray: StrayLeases::default(),
        }
    }

    /// Records an answer of the database. The observation starts over after a gap or when the clock was set back.
    /// Uses the wall clock, which leases use as well and which continues while a machine is suspended.
    fn record_success(&mut self, now: SystemTime) {
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
            .is_ok_and(|observed| observed > self.lease)
    }
}

/// Ticks at an interval; a late tick delays the following ones.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

/// Runs one step. A failure is logged; the step is tried again at the next tick.
async fn attempt<T, E: Display>(
    step: BackgroundTask,
    work: impl Future<Output = Result<T, E>>,
) -> Option<T> {
    match timeout(STEP_TIMEOUT, work).await {
        Ok(Ok(value)) => Some(value),
        Ok(Err(error)) => {
            metrics().background_error(step);
            tracing::warn!(?step, %error, "maintenance failed");
            None
        }
        Err(_) => {
            metrics().background_error(step);
            tracing::warn!(?step, "maintenance took too long");
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEASE: Duration = Duration::from_secs(4);
    const SECOND: Duration = Duration::from_secs(1);

    /// Records one success per second.
    fn observe_for(observation: &mut Observation, now: &mut SystemTime, seconds: u32) {
        for _ in 0..seconds {
            *now += SECOND;
            observation.record_success(*now);
        }
    }

    #[test]
    fn an_outage_or_a_clock_set_back_restarts_the_observation() {
        let mut now = SystemTime::UNIX_EPOCH + Duration::from_hours(10_000);
        let mut observation = Observation::new(LEASE, now);
        observe_for(&mut observation, &mut now, 4);
        assert!(!observation.is_long_enough(now));
        observe_for(&mut observation, &mut now, 1);
        assert!(observation.is_long_enough(now));

        now += LEASE;
        observation.record_success(now);
        assert!(!observation.is_long_enough(now), "after an outage");
        observe_for(&mut observation, &mut now, 5);
        assert!(observation.is_long_enough(now));

        now -= Duration::from_hours(1);
        observation.record_success(now);
        assert!(
            !observation.is_long_enough(now),
            "after the clock was set back"
        );
        observe_for(&mut observation, &mut now, 5);
        assert!(observation.is_long_enough(now), "and not an hour later");
    }
}
