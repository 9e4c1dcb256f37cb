//! Limits per caller: requests in progress, event streams, uploads, bytes of answers.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::middleware::caller_key::CallerKey;

type Semaphores = Arc<Mutex<HashMap<CallerKey, Arc<Semaphore>>>>;

/// A limit for each caller. Only callers that hold a share have an entry.
#[derive(Clone)]
pub(crate) struct CallerShares {
    limit: usize,
    semaphores: Semaphores,
}

/// A share of a caller's limit, held until this is dropped.
pub(crate) struct Share {
    permit: Option<OwnedSemaphorePermit>,
    key: CallerKey,
    limit: usize,
    semaphores: Semaphores,
}

impl CallerShares {
    /// Creates shares with this limit for each caller.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            semaphores: Semaphores::default(),
        }
    }

    /// Takes one share, if one is free.
    pub(crate) fn try_take(&self, key: &CallerKey) -> Option<Share> {
        let permit = self.semaphore(key).try_acquire_owned().ok()?;
        Some(self.share(key, permit))
    }

    /// Takes `count` shares; waits until the caller has returned enough.
    pub(crate) async fn take(&self, key: &CallerKey, count: u32) -> Option<Share> {
        let permit = self.semaphore(key).acquire_many_owned(count).await;
        // It is never closed.
        permit.ok().map(|permit| self.share(key, permit))
    }

    fn semaphore(&self, key: &CallerKey) -> Arc<Semaphore> {
        let mut semaphores = lock(&self.semaphores);
        let semaphore = semaphores
            .entry(key.clone())
            .or_insert_with(|| Arc::new(Semaphore::new(self.limit)));
        Arc::clone(semaphore)
    }

    fn share(&self, key: &CallerKey, permit: OwnedSemaphorePermit) -> Share {
        Share {
            permit: Some(permit),
            key: key.clone(),
            limit: self.limit,
            semaphores: Arc::clone(&self.semaphores),
        }
    }
}

impl Share {
    /// Returns all but `count`.
    pub(crate) fn shrink_to(&mut self, count: usize) {
        if let Some(permit) = &mut self.permit {
            let excess = permit.num_permits().saturating_sub(count);
            drop(permit.split(excess));
        }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.permit = None;
        let mut semaphores = lock(&self.semaphores);
        // Waiting requests hold it as well.
        let unused = |semaphore: &Arc<Semaphore>| {
            semaphore.available_permits() == self.limit && Arc::strong_count(semaphore) == 1
        };
        if semaphores.get(&self.key).is_some_and(unused) {
            semaphores.remove(&self.key);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // No code panics while it holds one of these.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_caller_has_its_own_limit_and_unused_entries_are_removed() {
        let shares = CallerShares::new(2);
        let [ann, bob] = ["ann", "bob"].map(|name| CallerKey::Subject(name.to_owned(), Vec::new()));
        let first = shares.try_take(&ann).unwrap();
        let mut second = shares.take(&ann, 1).await.unwrap();
        assert!(shares.try_take(&ann).is_none());
        assert!(shares.try_take(&bob).is_some());
        second.shrink_to(0);
        assert!(shares.try_take(&ann).is_some());
        drop((first, second));
        assert!(lock(&shares.semaphores).is_empty());
    }
}
