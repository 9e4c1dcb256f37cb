//! How many connections one origin host gets at once: we are its guests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use url::Url;

use super::host_key;

/// So many hosts are remembered before those without a connection are forgotten.
const REMEMBERED: usize = 256;

/// The slots of all hosts.
#[derive(Clone, Debug)]
pub(super) struct OriginSlots {
    connections: usize,
    hosts: Arc<Mutex<HashMap<String, Weak<Semaphore>>>>,
}

/// One connection to a host; it ends with this.
pub(super) type Slot = OwnedSemaphorePermit;

impl OriginSlots {
    /// So many connections for each host.
    pub(super) fn new(connections: usize) -> Self {
        Self {
            connections,
            hosts: Arc::default(),
        }
    }

    /// Waits for a slot, in turn.
    pub(super) async fn take(&self, url: &Url) -> Option<Slot> {
        // The semaphores are never closed.
        self.of(url).acquire_owned().await.ok()
    }

    /// A slot, if one is free and nobody waits for it.
    pub(super) fn try_take(&self, url: &Url) -> Option<Slot> {
        self.of(url).try_acquire_owned().ok()
    }

    fn of(&self, url: &Url) -> Arc<Semaphore> {
        let host = host_key(url);
        let mut hosts = self.hosts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(slots) = hosts.get(host).and_then(Weak::upgrade) {
            return slots;
        }
        if hosts.len() >= REMEMBERED {
            hosts.retain(|_, slots| slots.strong_count() > 0);
        }
        let slots = Arc::new(Semaphore::new(self.connections));
        hosts.insert(host.to_owned(), Arc::downgrade(&slots));
        slots
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_host_has_so_many_slots_whatever_the_port_and_another_has_its_own() {
        let slots = OriginSlots::new(2);
        let url = |text: &str| Url::parse(text).unwrap();
        let first = slots.take(&url("http://a.test/x")).await;
        let second = slots.try_take(&url("https://a.test:8443/y"));
        assert!(first.is_some() && second.is_some());
        assert!(slots.try_take(&url("http://a.test/z")).is_none());
        assert!(slots.try_take(&url("http://b.test/")).is_some());
        drop(first);
        assert!(slots.try_take(&url("http://a.test/z")).is_some());
    }

    #[tokio::test]
    async fn hosts_without_connections_are_forgotten() {
        let slots = OriginSlots::new(1);
        let kept = slots.take(&Url::parse("http://kept.test/").unwrap()).await;
        for number in 0..REMEMBERED * 3 {
            let url = Url::parse(&format!("http://h{number}.test/")).unwrap();
            drop(slots.take(&url).await.unwrap());
        }
        assert!(slots.hosts.lock().unwrap().len() <= REMEMBERED);
        assert!(slots.hosts.lock().unwrap().contains_key("kept.test"));
        drop(kept);
    }
}
