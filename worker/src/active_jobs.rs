//! The jobs that this worker runs: what the heartbeat says of them, and how they are told to stop.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use media_database::job_repository::HeartbeatRequest;
use media_domain::{blob::StagedBlob, job::Lease};
use tokio_util::sync::CancellationToken;

/// The jobs that run now.
#[derive(Clone, Debug, Default)]
pub(crate) struct ActiveJobs(Arc<Mutex<Listed>>);

#[derive(Debug, Default)]
struct Listed {
    jobs: HashMap<Lease, Arc<ActiveJob>>,
    /// Why every job has to stop, those that are yet to come too.
    all_stop: Option<StopReason>,
}

/// A job that runs.
#[derive(Debug, Default)]
pub(crate) struct ActiveJob {
    /// How far it is.
    pub(crate) progress: Progress,
    staged: Mutex<Option<StagedBlob>>,
    stop: CancellationToken,
    reason: OnceLock<StopReason>,
}

/// Why a job has to stop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StopReason {
    /// The job bears a signal: cancel or pause.
    Signal,
    /// The job is no longer this worker's.
    LeaseLost,
    /// The worker shuts down.
    Shutdown,
    /// There is nothing to store it in.
    StorageAway,
}

/// How far an import is.
#[derive(Debug)]
pub(crate) struct Progress {
    done: AtomicU64,
    /// `u64::MAX` where the origin does not say.
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
    /// The origin said how many bytes will come.
    pub(crate) fn announce(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// So many bytes have come in all.
    pub(crate) fn advance(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
    }

    fn beat(&self, lease: Lease) -> HeartbeatRequest {
        let done = self.done.load(Ordering::Relaxed);
        let total = self.total.load(Ordering::Relaxed);
        let known = (total != u64::MAX).then_some(total);
        // 100 means succeeded, which is still to come.
        let progress = match known {
            Some(total) if total > 0 => (done.saturating_mul(100) / total).min(99),
            _ => 0,
        };
        HeartbeatRequest {
            lease,
            progress: i16::try_from(progress).unwrap_or(99),
            bytes_done: i64::try_from(done).unwrap_or(i64::MAX),
            bytes_total: known.and_then(|total| i64::try_from(total).ok()),
        }
    }
}

impl ActiveJob {
    /// The job writes this blob from now on.
    pub(crate) fn stage(&self, blob: StagedBlob) {
        *self.staged.lock().unwrap_or_else(PoisonError::into_inner) = Some(blob);
    }

    /// The blob that it writes, if it does yet.
    pub(crate) fn staged(&self) -> Option<StagedBlob> {
        let staged = self.staged.lock();
        staged.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Tells the job to stop; the first reason stands. Says whether this was the first.
    pub(crate) fn stop(&self, reason: StopReason) -> bool {
        let first = self.reason.set(reason).is_ok();
        self.stop.cancel();
        first
    }

    /// Waits until the job is told to stop.
    pub(crate) async fn stopped(&self) -> StopReason {
        self.stop.cancelled().await;
        // Set before the token was cancelled.
        self.reason.get().copied().unwrap_or(StopReason::LeaseLost)
    }
}

impl ActiveJob {
    /// Waits until the job is no longer this worker's; for ever, if it is told to stop for another
    /// reason first.
    pub(crate) async fn lost(&self) {
        if self.stopped().await != StopReason::LeaseLost {
            std::future::pending::<()>().await;
        }
    }
}

/// Takes a job off the list when its run ends, however it ends.
pub(crate) struct ActiveGuard {
    jobs: ActiveJobs,
    lease: Lease,
    pub(crate) job: Arc<ActiveJob>,
}

impl ActiveJobs {
    /// Puts a job on the list.
    pub(crate) fn enter(&self, lease: Lease) -> ActiveGuard {
        let job = Arc::new(ActiveJob::default());
        let mut listed = self.lock();
        if let Some(reason) = listed.all_stop {
            job.stop(reason);
        }
        listed.jobs.insert(lease, Arc::clone(&job));
        drop(listed);
        ActiveGuard {
            jobs: self.clone(),
            lease,
            job,
        }
    }

    /// What the heartbeat says.
    pub(crate) fn beats(&self) -> Vec<HeartbeatRequest> {
        self.lock()
            .jobs
            .iter()
            .map(|(lease, job)| job.progress.beat(*lease))
            .collect()
    }

    /// The job under a lease, if it still runs.
    pub(crate) fn get(&self, lease: Lease) -> Option<Arc<ActiveJob>> {
        self.lock().jobs.get(&lease).cloned()
    }

    /// Tells all jobs to stop, and all that are yet to come.
    pub(crate) fn stop_all(&self, reason: StopReason) {
        let mut listed = self.lock();
        listed.all_stop = Some(reason);
        for job in listed.jobs.values() {
            job.stop(reason);
        }
    }

    /// Whether no job runs.
    pub(crate) fn is_empty(&self) -> bool {
        self.lock().jobs.is_empty()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Listed> {
        // No code that holds the lock can leave the map half changed.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ActiveGuard {
    fn drop(&mut self) {
        self.jobs.lock().jobs.remove(&self.lease);
    }
}
