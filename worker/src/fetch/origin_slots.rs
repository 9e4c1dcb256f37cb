//! How many connections one origin host gets at once, from all workers together: we are its guests.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use media_database::host_limits::HostLimits;
use media_domain::ids::WorkerId;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::host_key;

/// How often the other workers are told what this one has, and asked what it may have.
const VISIT_EVERY: Duration = Duration::from_secs(1);
/// The same while an import waits for the others to give something up.
const ASK_AGAIN: Duration = Duration::from_millis(250);
/// How long the book may take to answer.
const LEDGER_LIMIT: Duration = Duration::from_secs(5);
/// How many hosts are visited at the same time.
const VISITS_AT_ONCE: usize = 4;
/// How long an import waits for a slot; for longer, another job has its place.
const PATIENCE: Duration = Duration::from_secs(3);

/// The slots of all hosts.
#[derive(Clone)]
pub(super) struct OriginSlots {
    ledger: HostLimits,
    worker: WorkerId,
    /// So many connections to each host, of all workers.
    most: usize,
    hosts: Arc<Mutex<HashMap<String, Arc<Host>>>>,
}

/// What this worker may have of one host.
struct Host {
    free: Semaphore,
    share: Mutex<Share>,
    /// When it last asked, held while it asks.
    visited: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Share {
    /// So many slots.
    granted: usize,
    /// So many that are in use beyond it; they are not given back when they end.
    owed: usize,
    /// So many wait for one.
    waiting: usize,
}

/// One connection to a host; it ends with this.
pub(super) struct Slot(Arc<Host>);

impl Drop for Slot {
    fn drop(&mut self) {
        let mut share = self.0.share();
        match share.owed.checked_sub(1) {
            Some(owed) => share.owed = owed,
            None => self.0.free.add_permits(1),
        }
    }
}

impl OriginSlots {
    /// So many connections to each host, of all workers together.
    pub(super) fn new(ledger: HostLimits, worker: WorkerId, most: usize) -> Self {
        Self {
            ledger,
            worker,
            most,
            hosts: Arc::default(),
        }
    }

    /// Waits for a slot, in turn; not at all if more imports wait for one than can have one.
    pub(super) async fn take(&self, url: &Url) -> Option<Slot> {
        let host = self.of(url);
        self.visit(host_key(url), &host, VISIT_EVERY).await;
        if let Some(slot) = host.try_take() {
            return Some(slot);
        }
        let _waiting = Waiting::enter(&host)?;
        let taken = async {
            let mut turn = std::pin::pin!(host.free.acquire());
            loop {
                tokio::select! {
                    // The semaphore is never closed.
                    permit = &mut turn => return permit.ok().map(SemaphorePermit::forget),
                    () = sleep(ASK_AGAIN) => self.visit(host_key(url), &host, ASK_AGAIN).await,
                }
            }
        };
        let taken = timeout(PATIENCE, taken).await.ok().flatten();
        taken.map(|()| Slot(Arc::clone(&host)))
    }

    /// A slot, if one is free and nobody waits for it.
    pub(super) fn try_take(&self, url: &Url) -> Option<Slot> {
        self.of(url).try_take()
    }

    /// Keeps the others informed of what this worker has, until `end`; then it has nothing.
    pub(super) async fn keep(self, end: CancellationToken) {
        let keeping = async {
            loop {
                sleep(VISIT_EVERY).await;
                let (used, left) = self.sort();
                stream::iter(used)
                    .for_each_concurrent(VISITS_AT_ONCE, async |(name, host)| {
                        self.visit(&name, &host, VISIT_EVERY / 2).await;
                    })
                    .await;
                stream::iter(left)
                    .for_each_concurrent(VISITS_AT_ONCE, async |name| self.leave(&name).await)
                    .await;
            }
        };
        end.run_until_cancelled(keeping).await;
    }

    /// The hosts that are in use, and those that no longer are, which are forgotten.
    fn sort(&self) -> (Vec<(String, Arc<Host>)>, Vec<String>) {
        let (mut used, mut left) = (Vec::new(), Vec::new());
        self.hosts().retain(|name, host| {
            // Nobody else can get hold of it meanwhile.
            let is_used = Arc::strong_count(host) > 1;
            if is_used {
                used.push((name.clone(), Arc::clone(host)));
            } else {
                left.push(name.clone());
            }
            is_used
        });
        (used, left)
    }

    async fn visit(&self, name: &str, host: &Host, every: Duration) {
        let mut visited = host.visited.lock().await;
        if visited.is_some_and(|visited| visited.elapsed() < every) {
            return;
        }
        let in_use = host.in_use();
        let asked = self.ledger.visit(name, self.worker, in_use, self.most);
        match timeout(LEDGER_LIMIT, asked).await {
            Ok(Ok(granted)) => host.resize(granted),
            // What cannot be read holds nobody up, the first time.
            _ if visited.is_none() => host.resize(self.most),
            _ => {}
        }
        *visited = Some(Instant::now());
    }

    async fn leave(&self, name: &str) {
        // Otherwise the others find out by themselves.
        let _ = timeout(LEDGER_LIMIT, self.ledger.leave(name, self.worker)).await;
    }

    fn of(&self, url: &Url) -> Arc<Host> {
        let new = || {
            Arc::new(Host {
                free: Semaphore::new(0),
                share: Mutex::default(),
                visited: tokio::sync::Mutex::new(None),
            })
        };
        let mut hosts = self.hosts();
        let host = hosts.entry(host_key(url).to_owned()).or_insert_with(new);
        Arc::clone(host)
    }

    fn hosts(&self) -> MutexGuard<'_, HashMap<String, Arc<Host>>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Host {
    fn try_take(self: &Arc<Self>) -> Option<Slot> {
        self.free.try_acquire().ok()?.forget();
        Some(Slot(Arc::clone(self)))
    }

    fn in_use(&self) -> usize {
        let share = self.share();
        (share.granted + share.owed).saturating_sub(self.free.available_permits())
    }

    fn resize(&self, granted: usize) {
        let mut share = self.share();
        if let Some(more) = granted.checked_sub(share.granted) {
            let kept = more.min(share.owed);
            share.owed -= kept;
            self.free.add_permits(more - kept);
        } else {
            let fewer = share.granted - granted;
            share.owed += fewer - self.free.forget_permits(fewer);
        }
        share.granted = granted;
    }

    fn share(&self) -> MutexGuard<'_, Share> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An import that waits for a slot.
struct Waiting<'h>(&'h Host);

impl<'h> Waiting<'h> {
    /// As many may wait as can have one: whoever waits keeps jobs of other hosts waiting.
    fn enter(host: &'h Host) -> Option<Self> {
        let mut share = host.share();
        let room = share.waiting < share.granted.max(1);
        room.then(|| {
            share.waiting += 1;
            Self(host)
        })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.share().waiting -= 1;
    }
}

#[cfg(test)]
mod tests {
    use media_database::Database;
    use media_domain::clock::Clock;
    use media_testkit::databases;

    use super::*;

    fn slots(database: &Database, most: usize) -> OriginSlots {
        let ledger = HostLimits::new(database.clone(), Clock::system());
        OriginSlots::new(ledger, WorkerId::generate(), most)
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[tokio::test]
    async fn a_host_has_so_many_slots_whatever_the_port_and_another_has_its_own() {
        let test = databases::sqlite().await;
        let slots = slots(&test.database, 2);
        let first = slots.take(&url("http://a.test/x")).await;
        let second = slots.try_take(&url("https://a.test.:8443/y"));
        assert!(first.is_some() && second.is_some());
        assert!(slots.try_take(&url("http://a.test/z")).is_none());
        assert!(slots.take(&url("http://b.test/")).await.is_some());
        drop(first);
        assert!(slots.try_take(&url("http://a.test/z")).is_some());
    }

    #[tokio::test]
    async fn no_more_wait_than_can_have_a_slot() {
        let test = databases::sqlite().await;
        let slots = slots(&test.database, 1);
        let a = url("http://a.test/");
        let held = slots.take(&a).await.unwrap();
        let waiting = slots.take(&a);
        let turned_away = async {
            let asked = Instant::now();
            assert!(slots.take(&a).await.is_none());
            assert!(asked.elapsed() < PATIENCE / 2);
            drop(held);
        };
        let (waited, ()) = tokio::join!(waiting, turned_away);
        assert!(waited.is_some());
    }

    #[tokio::test]
    async fn hosts_without_connections_are_forgotten() {
        let test = databases::sqlite().await;
        let slots = slots(&test.database, 1);
        let kept = slots.take(&url("http://kept.test/")).await;
        for number in 0..50 {
            drop(slots.take(&url(&format!("http://h{number}.test/"))).await);
        }
        let (used, left) = slots.sort();
        assert_eq!(used.len(), 1);
        assert_eq!(left.len(), 50);
        assert!(slots.hosts().contains_key("kept.test"));
        drop(kept);
    }

    #[tokio::test]
    async fn workers_share_what_a_host_gives() {
        let test = databases::postgres().await;
        let [one, other] = [slots(&test.database, 4), slots(&test.database, 4)];
        let end = CancellationToken::new();
        let keepers =
            [one.clone(), other.clone()].map(|slots| tokio::spawn(slots.keep(end.clone())));
        let a = url("http://a.test/");
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(one.take(&a).await.unwrap());
        }
        // All are in use: the other has to wait until the first has given some up.
        let taken = tokio::spawn({
            let (other, a) = (other.clone(), a.clone());
            async move { other.take(&a).await }
        });
        held.truncate(1);
        let theirs = taken.await.unwrap().expect("its share");
        let second = other.take(&a).await.expect("its share");
        assert!(other.try_take(&a).is_none(), "two are half of four");
        assert!(one.try_take(&a).is_some());
        drop((theirs, second));
        end.cancel();
        for keeper in keepers {
            keeper.await.unwrap();
        }
    }
}
