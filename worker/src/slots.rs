//! The slots of a worker: how many imports move bytes at once, and of which projects.
//!
//! Shared slots are for all projects. A few more are reserved for projects that run little: when the imports of
//! one project have taken every shared slot, another's begins in a reserved one.

use std::time::Duration;

use media_database::job_repository::SlotUse;
use tokio::{
    sync::{AcquireError, Semaphore, SemaphorePermit},
    time::timeout,
};

/// How often a worker whose shared slots are taken looks for a job that a reserved slot is for.
pub(crate) const RESERVE_CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// One slot is reserved for this many shared ones.
const SHARED_PER_RESERVED: usize = 4;

/// The slots of one worker.
pub(crate) struct Slots {
    shared: Semaphore,
    reserved: Semaphore,
    /// A project that has as many jobs running, in all workers, gets no reserved slot.
    most_in_reserve: u32,
    /// How long all shared slots have to be taken before a reserved one is used.
    patience: Duration,
}

impl Slots {
    /// Makes shared slots, and a quarter as many reserved ones, but one at least.
    pub(crate) fn new(shared: usize) -> Self {
        let reserved = (shared / SHARED_PER_RESERVED).max(1);
        Self {
            shared: Semaphore::new(shared),
            reserved: Semaphore::new(reserved),
            most_in_reserve: u32::try_from(reserved).unwrap_or(u32::MAX),
            patience: RESERVE_CHECK_INTERVAL,
        }
    }

    /// Waits for a slot: a shared one, or a reserved one if all of those are taken for a while.
    pub(crate) async fn acquire(&self) -> Result<(SemaphorePermit<'_>, SlotUse), AcquireError> {
        loop {
            if let Ok(shared) = timeout(self.patience, self.shared.acquire()).await {
                return Ok((shared?, SlotUse::AnyProject));
            }
            if let Ok(reserved) = self.reserved.try_acquire() {
                return Ok((reserved, self.use_of_reserve()));
            }
        }
    }

    /// The last reserved slot is for projects that run nothing.
    fn use_of_reserve(&self) -> SlotUse {
        SlotUse::FewerRunningThan(match self.reserved.available_permits() {
            0 => 1,
            _ => self.most_in_reserve,
        })
    }

    /// Waits until a shared slot is free.
    pub(crate) async fn wait_for_shared(&self) {
        // An error means that the slots are closed, which they never are.
        drop(self.shared.acquire().await);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn reserved_slots_are_for_projects_that_run_little_and_the_last_for_new_ones() {
        let slots = Slots {
            patience: Duration::from_millis(1),
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
        let none = timeout(slots.patience * 50, slots.acquire()).await;
        assert!(none.is_err());
        // A shared slot comes first.
        drop(taken.swap_remove(0));
        let (_, slot_use) = slots.acquire().await.unwrap();
        assert_eq!(slot_use, SlotUse::AnyProject);
    }
}
