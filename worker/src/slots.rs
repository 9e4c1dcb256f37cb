//! The job slots of a worker, which limit how many imports transfer bytes at once.
//!
//! Shared slots are for all projects. A few more are reserved for projects with few running jobs: when one
//! project uses all shared slots, an import of another starts in a reserved one.

use std::time::Duration;

use media_shared::job_ledger::SlotUse;
use tokio::{
    sync::{AcquireError, Semaphore, SemaphorePermit},
    time::timeout,
};

/// Interval at which a worker without a free shared slot looks for a job for a reserved one.
pub(crate) const RESERVE_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Number of shared slots per reserved slot.
const SHARED_PER_RESERVED: usize = 4;

/// The slots of one worker.
pub(crate) struct Slots {
    shared: Semaphore,
    reserved: Semaphore,
    /// Projects with at least this many running jobs, in all workers, get no reserved slot.
    reserve_limit: u32,
    /// Time for which all shared slots have to be taken before a reserved one is used.
    shared_timeout: Duration,
}

impl Slots {
    /// Creates shared slots, and a quarter as many reserved ones, but at least one.
    pub(crate) fn new(shared: usize) -> Self {
        let reserved = (shared / SHARED_PER_RESERVED).max(1);
        Self {
            shared: Semaphore::new(shared),
            reserved: Semaphore::new(reserved),
            reserve_limit: u32::try_from(reserved).unwrap_or(u32::MAX),
            shared_timeout: RESERVE_CHECK_INTERVAL,
        }
    }

    /// Waits for a shared slot, or for a reserved one if all shared ones stay taken.
    pub(crate) async fn acquire(&self) -> Result<(SemaphorePermit<'_>, SlotUse), AcquireError> {
        loop {
            if let Ok(shared) = timeout(self.shared_timeout, self.shared.acquire()).await {
                return Ok((shared?, SlotUse::AnyProject));
            }
            if let Ok(reserved) = self.reserved.try_acquire() {
                return Ok((reserved, self.reserved_use()));
            }
        }
    }

    /// The last reserved slot is for projects without running jobs.
    fn reserved_use(&self) -> SlotUse {
        SlotUse::FewerRunningThan(match self.reserved.available_permits() {
            0 => 1,
            _ => self.reserve_limit,
        })
    }

    /// Waits until a shared slot is free.
    pub(crate) async fn wait_for_shared(&self) {
        // The semaphore is never closed.
        drop(self.shared.acquire().await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reserved_slots_are_for_projects_with_few_running_jobs() {
        let slots = Slots {
            shared_timeout: Duration::from_millis(1),
            ..Slots::new(8)
        };
        let mut taken = Vec::new();
        let mut uses = Vec::new();
        for _ in 0..10 {
            let (slot, slot_use) = slots.acquire().await.unwrap();
            taken.push(slot);
            uses.push(slot_use);
        }
        assert_eq!(uses[..8], [SlotUse::AnyProject; 8]);
        assert_eq!(uses[8], SlotUse::FewerRunningThan(2));
        assert_eq!(uses[9], SlotUse::FewerRunningThan(1));
        let none = timeout(slots.shared_timeout * 50, slots.acquire()).await;
        assert!(none.is_err());
        // A free shared slot is preferred.
        drop(taken.swap_remove(0));
        let (_, slot_use) = slots.acquire().await.unwrap();
        assert_eq!(slot_use, SlotUse::AnyProject);
    }
}
