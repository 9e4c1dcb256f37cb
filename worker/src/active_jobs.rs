//! The jobs that this worker runs: their progress for the heartbeat, and requests to stop them.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use media_shared::{
    blob_ledger::StagedBlob,
    job_ledger::{Beat, Lease},
};
use tokio_util::sync::CancellationToken;

/// The running jobs.
#[derive(Clone, Debug, Default)]
pub(crate) struct ActiveJobs(Arc<Mutex<JobList>>);

#[derive(Debug, Default)]
struct JobList {
    jobs: HashMap<Lease, Arc<ActiveJob>>,
    /// Why every job has to stop, including future ones.
    stop_all: Option<StopReason>,
}

/// A running job.
#[derive(Debug, Default)]
pub(crate) struct ActiveJob {
    pub(crate) progress: Progress,
    staged: Mutex<Option<StagedBlob>>,
    stop: CancellationToken,
    reason: OnceLock<StopReason>,
}

/// Why a job has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The job has the signal `cancel` or `pause`.
    Signal,
    /// The lease expired, or the job was deleted.
    LeaseLost,
    Shutdown,
    StorageUnavailable,
}

/// Progress in bytes.
#[derive(Debug)]
pub(crate) struct Progress {
    done: AtomicU64,
    /// `u64::MAX` if unknown.
    total: AtomicU64,
}

impl Default for Progress {
    fn default() -> Self {
        Self {
            done: AtomicU64::new(0),
            total: AtomicU64::new(u64::MAX),
        }
    }
}

impl Progress {
    /// Sets the total number of bytes.
    pub(crate) fn announce(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// Sets the number of bytes received so far.
    pub(crate) fn advance(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
    }

    fn beat(&self, lease: Lease) -> Beat {
        let done = self.done.load(Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed);
        let known = (total != u64::MAX).then_some(total);
        // 100 is reserved for jobs that have succeeded.
        let progress = match known {
            Some(total) if total > 0 => (done.saturating_mul(100) / total).min(99),
            _ => 0,
        };
        Beat {
            lease,
            progress: i16::try_from(progress).unwrap_or(99),
            bytes_done: i64::try_from(done).unwrap_or(i64::MAX),
            bytes_total: known.and_then(|total| i64::try_from(total).ok()),
        }
    }
}

impl ActiveJob {
    /// Sets the blob that the job writes.
    pub(crate) fn stage(&self, blob: StagedBlob) {
        *self.staged.lock().unwrap_or_else(PoisonError::into_inner) = Some(blob);
    }

    /// Returns the blob that the job writes, if it has begun to.
    pub(crate) fn staged(&self) -> Option<StagedBlob> {
        let staged = self.staged.lock();
        staged.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Requests the job to stop. The first reason is kept; returns whether this was the first.
    pub(crate) fn stop(&self, reason: StopReason) -> bool {
        let first = self.reason.set(reason).is_ok();
        self.stop.cancel();
        first
    }

    /// Waits until the job is requested to stop.
    pub(crate) async fn stopped(&self) -> StopReason {
        self.stop.cancelled().await;
        // The reason is set before the token is cancelled.
        self.reason.get().copied().unwrap_or(StopReason::LeaseLost)
    }

    /// Waits until the lease is lost; forever, if the job is requested to stop for another reason first.
    pub(crate) async fn lease_lost(&self) {
        if self.stopped().await != StopReason::LeaseLost {
            std::future::pending::<()>().await;
        }
    }
}

/// Removes a job from the list when it is dropped.
pub(crate) struct ActiveGuard {
    jobs: ActiveJobs,
    lease: Lease,
    pub(crate) job: Arc<ActiveJob>,
}

impl ActiveJobs {
    /// Adds a job to the list.
    pub(crate) fn insert(&self, lease: Lease) -> ActiveGuard {
        let job = Arc::new(ActiveJob::default());
        let mut list = self.lock();
        if let Some(reason) = list.stop_all {
            job.stop(reason);
        }
        list.jobs.insert(lease, Arc::clone(&job));
        drop(list);
        ActiveGuard {
            jobs: self.clone(),
            lease,
            job,
        }
    }

    /// Returns the progress of all jobs for the heartbeat.
    pub(crate) fn beats(&self) -> Vec<Beat> {
        self.lock()
            .jobs
            .iter()
            .map(|(lease, job)| job.progress.beat(*lease))
            .collect()
    }

    /// Returns the job with a lease, if it still runs.
    pub(crate) fn get(&self, lease: Lease) -> Option<Arc<ActiveJob>> {
        self.lock().jobs.get(&lease).cloned()
    }

    /// Requests all jobs to stop, including future ones.
    pub(crate) fn stop_all(&self, reason: StopReason) {
        let mut list = self.lock();
        list.stop_all = Some(reason);
        for job in list.jobs.values() {
            job.stop(reason);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.lock().jobs.is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, JobList> {
        // A panic cannot leave the list inconsistent.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        self.jobs.lock().jobs.remove(&self.lease);
    }
}
