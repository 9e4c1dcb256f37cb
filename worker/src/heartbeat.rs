//! The worker's sign of life, once a second: one statement renews all its leases, writes all its
//! progress and brings back all signals.

use std::{collections::HashMap, time::Duration};

use media_database::job_repository::{HEARTBEATS_PER_LEASE, HeartbeatReply, JobRepository};
use media_domain::ids::JobId;
use media_telemetry::metrics::{BackgroundTask, metrics};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::active_jobs::{ActiveJobs, StopReason};

/// How often the worker gives a sign of life.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// Beats until `end`.
pub(crate) async fn run(jobs: JobRepository, active: ActiveJobs, end: CancellationToken) {
    let mut ticks = interval(BEAT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_success = Instant::now();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if beat(&jobs, &active).await {
            last_success = Instant::now();
        } else if last_success.elapsed() > jobs.lease() && !active.is_empty() {
            tracing::error!(
                "no heartbeat for longer than a lease: the jobs of this worker may be run by others"
            );
        }
    }
}

/// One beat; says whether it reached the database.
async fn beat(jobs: &JobRepository, active: &ActiveJobs) -> bool {
    let beats = active.beats();
    if beats.is_empty() {
        return true;
    }
    let pulses = match timeout(jobs.lease() / HEARTBEATS_PER_LEASE, jobs.heartbeat(&beats)).await {
        Ok(Ok(pulses)) => pulses,
        Ok(Err(error)) => {
            metrics().background_error(BackgroundTask::Heartbeat);
            tracing::warn!(%error, "a heartbeat failed");
            return false;
        }
        Err(_) => {
            metrics().background_error(BackgroundTask::Heartbeat);
            tracing::warn!("the database did not answer a heartbeat");
            return false;
        }
    };
    let held: HashMap<_, _> = pulses
        .into_iter()
        .map(|HeartbeatReply { lease, signal }| (lease, signal))
        .collect();
    let mut lost = Vec::new();
    for beat in beats {
        let Some(job) = active.get(beat.lease) else {
            continue;
        };
        match held.get(&beat.lease) {
            None if job.stop(StopReason::LeaseLost) => lost.push(beat.lease.job_id),
            Some(Some(_)) => drop(job.stop(StopReason::Signal)),
            None | Some(None) => {}
        }
    }
    if !lost.is_empty() {
        count_lost(jobs, lost).await;
    }
    true
}

/// Counts the leases that others have now; a job that was deleted is nobody's.
async fn count_lost(jobs: &JobRepository, lost: Vec<JobId>) {
    // Only a figure: without an answer, all are counted.
    let all = lost.len();
    let found = timeout(jobs.lease() / HEARTBEATS_PER_LEASE, jobs.find_all(lost)).await;
    let left = found.map_or(all, |found| found.map_or(all, |jobs| jobs.len()));
    metrics().leases_lost(left as u64);
}
