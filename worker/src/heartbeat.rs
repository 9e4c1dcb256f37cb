//! The heartbeat, once a second: one statement renews all leases of the worker, writes the progress of its jobs
//! and returns their signals.

use std::{collections::HashMap, time::Duration};

use media_shared::{
    ids::JobId,
    job_ledger::{HEARTBEATS_PER_LEASE, JobLedger, Pulse},
    metrics::{Work, figures},
};
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

use crate::active_jobs::{ActiveJobs, StopReason};

/// Time between heartbeats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);

/// Sends heartbeats until `end`.
pub(crate) async fn run(jobs: JobLedger, active: ActiveJobs, end: CancellationToken) {
    let mut ticks = interval(HEARTBEAT_INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut last_success = Instant::now();
    loop {
        tokio::select! {
            () = end.cancelled() => return,
            _ = ticks.tick() => {}
        }
        if send(&jobs, &active).await {
            last_success = Instant::now();
        } else if last_success.elapsed() > jobs.lease() && !active.is_empty() {
            tracing::error!(
                "no heartbeat for longer than a lease: other workers may run the jobs of this one"
            );
        }
    }
}

/// Sends one heartbeat; returns whether it reached the database.
async fn send(jobs: &JobLedger, active: &ActiveJobs) -> bool {
    let beats = active.beats();
    if beats.is_empty() {
        return true;
    }
    let pulses = match timeout(jobs.lease() / HEARTBEATS_PER_LEASE, jobs.heartbeat(&beats)).await {
        Ok(Ok(pulses)) => pulses,
        Ok(Err(error)) => {
            figures().troubled(Work::Heartbeat);
            tracing::warn!(%error, "a heartbeat failed");
            return false;
        }
        Err(_) => {
            figures().troubled(Work::Heartbeat);
            tracing::warn!("the database did not answer a heartbeat");
            return false;
        }
    };
    let held: HashMap<_, _> = pulses
        .into_iter()
        .map(|Pulse { lease, signal }| (lease, signal))
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

/// Counts the leases that other workers have now; deleted jobs do not count.
async fn count_lost(jobs: &JobLedger, lost: Vec<JobId>) {
    // Without an answer, all are counted: this is only a metric.
    let all = lost.len();
    let found = timeout(jobs.lease() / HEARTBEATS_PER_LEASE, jobs.find_all(lost)).await;
    let existing = found.map_or(all, |found| found.map_or(all, |jobs| jobs.len()));
    figures().leases_lost(existing as u64);
}
