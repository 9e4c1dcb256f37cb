//! Limits the connections to each host, over all workers together. Workers register their use in the database
//! once a second and get a share of each host's connections.

use std::{
    collections::HashMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use media_shared::{ids::WorkerId, origin_ledger::OriginLedger};
use rand::RngExt as _;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use url::Url;

use super::host_key::host_key;

/// Interval at which this worker registers its connections and gets its share.
const REFRESH_INTERVAL: Duration = Duration::from_secs(1);
/// The same while an import waits for other workers to reduce their use.
const WAITING_REFRESH_INTERVAL: Duration = Duration::from_millis(250);
/// Timeout of a statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);
/// Number of hosts whose shares are refreshed concurrently.
const CONCURRENT_REFRESHES: usize = 4;
/// Maximum time that an import waits for a connection; then its worker runs another job.
const MAX_WAIT: Duration = Duration::from_secs(3);
/// Delay before an import is retried that got no connection.
const RETRY_DELAY: Range<Duration> = Duration::from_secs(2)..Duration::from_secs(10);

/// Returns a random delay for an import that got no connection.
pub(in crate::fetch) fn retry_delay() -> Duration {
    rand::rng().random_range(RETRY_DELAY)
}

/// The connections to all hosts.
#[derive(Clone)]
pub(in crate::fetch) struct HostConnections {
    ledger: OriginLedger,
    worker: WorkerId,
    /// Maximum number of connections to each host, of all workers together.
    max_connections: usize,
    hosts: Arc<Mutex<HashMap<String, Arc<Host>>>>,
}

/// This worker's share of the connections to one host.
struct Host {
    free: Semaphore,
    share: Mutex<Share>,
    /// The time of the last refresh; locked during a refresh.
    refreshed_at: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug, Default)]
struct Share {
    /// Number of connections that this worker may have.
    granted: usize,
    /// Number of connections in use beyond that; their permits are dropped when they end.
    excess: usize,
    /// Number of imports that wait for a connection.
    waiting: usize,
}

/// Permits one connection to a host until it is dropped.
pub(in crate::fetch) struct ConnectionPermit(Arc<Host>);

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let mut share = self.0.share();
        match share.excess.checked_sub(1) {
            Some(excess) => share.excess = excess,
            None => self.0.free.add_permits(1),
        }
    }
}

impl HostConnections {
    pub(in crate::fetch) fn new(
        ledger: OriginLedger,
        worker: WorkerId,
        max_connections: usize,
    ) -> Self {
        Self {
            ledger,
            worker,
            max_connections,
            hosts: Arc::default(),
        }
    }

    /// Waits for a connection in order of arrival, for at most [`MAX_WAIT`]; not at all if as many imports wait
    /// already as this worker may have connections.
    pub(in crate::fetch) async fn acquire(&self, url: &Url) -> Option<ConnectionPermit> {
        let host = self.host(url);
        self.refresh(host_key(url), &host, REFRESH_INTERVAL).await;
        if let Some(permit) = host.try_acquire() {
            return Some(permit);
        }
        let _waiting = Waiting::enter(&host)?;
        let acquired = async {
            let mut acquiring = std::pin::pin!(host.free.acquire());
            loop {
                tokio::select! {
                    // The semaphore is never closed.
                    permit = &mut acquiring => return permit.ok().map(SemaphorePermit::forget),
                    () = sleep(WAITING_REFRESH_INTERVAL) => {
                        self.refresh(host_key(url), &host, WAITING_REFRESH_INTERVAL).await;
                    }
                }
            }
        };
        let acquired = timeout(MAX_WAIT, acquired).await.ok().flatten();
        acquired.map(|()| ConnectionPermit(Arc::clone(&host)))
    }

    /// Returns a permit if one is free and no import waits for it.
    pub(in crate::fetch) fn try_acquire(&self, url: &Url) -> Option<ConnectionPermit> {
        self.host(url).try_acquire()
    }

    /// Registers this worker's connections and refreshes its shares until `end`.
    pub(in crate::fetch) async fn refresh_shares(self, end: CancellationToken) {
        let refreshing = async {
            loop {
                sleep(REFRESH_INTERVAL).await;
                let (used, unused) = self.take_unused();
                stream::iter(used)
                    .for_each_concurrent(CONCURRENT_REFRESHES, async |(name, host)| {
                        self.refresh(&name, &host, REFRESH_INTERVAL / 2).await;
                    })
                    .await;
                stream::iter(unused)
                    .for_each_concurrent(CONCURRENT_REFRESHES, async |name| {
                        self.release(&name).await;
                    })
                    .await;
            }
        };
        end.run_until_cancelled(refreshing).await;
    }

    /// Returns the hosts in use, and removes and returns the names of the others.
    fn take_unused(&self) -> (Vec<(String, Arc<Host>)>, Vec<String>) {
        let (mut used, mut unused) = (Vec::new(), Vec::new());
        self.hosts().retain(|name, host| {
            // The map is locked, so that no further reference can be made.
            let is_used = Arc::strong_count(host) > 1;
            if is_used {
                used.push((name.clone(), Arc::clone(host)));
            } else {
                unused.push(name.clone());
            }
            is_used
        });
        (used, unused)
    }

    /// Refreshes the share of a host, unless that was done within `interval`.
    async fn refresh(&self, name: &str, host: &Host, interval: Duration) {
        let mut refreshed_at = host.refreshed_at.lock().await;
        if refreshed_at.is_some_and(|at| at.elapsed() < interval) {
            return;
        }
        let in_use = host.in_use();
        let asked = self
            .ledger
            .visit(name, self.worker, in_use, self.max_connections);
        match timeout(STATEMENT_TIMEOUT, asked).await {
            Ok(Ok(granted)) => host.resize(granted),
            // An unknown share does not delay imports: the first time, all connections are assumed.
            _ if refreshed_at.is_none() => host.resize(self.max_connections),
            _ => {}
        }
        *refreshed_at = Some(Instant::now());
    }

    async fn release(&self, name: &str) {
        // If this fails, the registration expires.
        let _ = timeout(STATEMENT_TIMEOUT, self.ledger.leave(name, self.worker)).await;
    }

    fn host(&self, url: &Url) -> Arc<Host> {
        let new = || {
            Arc::new(Host {
                free: Semaphore::new(0),
                share: Mutex::default(),
                refreshed_at: tokio::sync::Mutex::new(None),
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
    fn try_acquire(self: &Arc<Self>) -> Option<ConnectionPermit> {
        self.free.try_acquire().ok()?.forget();
        Some(ConnectionPermit(Arc::clone(self)))
    }

    fn in_use(&self) -> usize {
        let share = self.share();
        (share.granted + share.excess).saturating_sub(self.free.available_permits())
    }

    fn resize(&self, granted: usize) {
        let mut share = self.share();
        if let Some(more) = granted.checked_sub(share.granted) {
            let kept = more.min(share.excess);
            share.excess -= kept;
            self.free.add_permits(more - kept);
        } else {
            let fewer = share.granted - granted;
            share.excess += fewer - self.free.forget_permits(fewer);
        }
        share.granted = granted;
    }

    fn share(&self) -> MutexGuard<'_, Share> {
        self.share.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An import that waits for a connection.
struct Waiting<'h>(&'h Host);

impl<'h> Waiting<'h> {
    /// Fails if the number of waiting imports has reached this worker's share: they delay jobs of other hosts.
    fn enter(host: &'h Host) -> Option<Self> {
        let mut share = host.share();
        let has_room = share.waiting < share.granted.max(1);
        has_room.then(|| {
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
    use media_shared::{clock::Clock, database::Database};
    use media_testkit::databases;

    use super::*;

    fn connections(database: &Database, max_connections: usize) -> HostConnections {
        let ledger = OriginLedger::new(database.clone(), Clock::system());
        HostConnections::new(ledger, WorkerId::generate(), max_connections)
    }

    fn url(text: &str) -> Url {
        Url::parse(text).unwrap()
    }

    #[tokio::test]
    async fn the_limit_is_per_host_and_independent_of_ports() {
        let test = databases::sqlite().await;
        let connections = connections(&test.database, 2);
        let first = connections.acquire(&url("http://a.test/x")).await;
        let second = connections.try_acquire(&url("https://a.test.:8443/y"));
        assert!(first.is_some() && second.is_some());
        assert!(connections.try_acquire(&url("http://a.test/z")).is_none());
        assert!(connections.acquire(&url("http://b.test/")).await.is_some());
        drop(first);
        assert!(connections.try_acquire(&url("http://a.test/z")).is_some());
    }

    #[tokio::test]
    async fn no_more_imports_wait_than_may_have_a_connection() {
        let test = databases::sqlite().await;
        let connections = connections(&test.database, 1);
        let a = url("http://a.test/");
        let held = connections.acquire(&a).await.unwrap();
        let waiting = connections.acquire(&a);
        let refused = async {
            let asked = Instant::now();
            assert!(connections.acquire(&a).await.is_none());
            assert!(asked.elapsed() < MAX_WAIT / 2);
            drop(held);
        };
        let (waited, ()) = tokio::join!(waiting, refused);
        assert!(waited.is_some());
    }

    #[tokio::test]
    async fn hosts_without_connections_are_removed() {
        let test = databases::sqlite().await;
        let connections = connections(&test.database, 1);
        let kept = connections.acquire(&url("http://kept.test/")).await;
        for number in 0..50 {
            drop(
                connections
                    .acquire(&url(&format!("http://h{number}.test/")))
                    .await,
            );
        }
        let (used, unused) = connections.take_unused();
        assert_eq!(used.len(), 1);
        assert_eq!(unused.len(), 50);
        assert!(connections.hosts().contains_key("kept.test"));
        drop(kept);
    }

    #[tokio::test]
    async fn workers_share_the_connections_to_a_host() {
        let test = databases::postgres().await;
        let [one, other] = [
            connections(&test.database, 4),
            connections(&test.database, 4),
        ];
        let end = CancellationToken::new();
        let tasks = [one.clone(), other.clone()]
            .map(|connections| tokio::spawn(connections.refresh_shares(end.clone())));
        let a = url("http://a.test/");
        let mut held = Vec::new();
        for _ in 0..4 {
            held.push(one.acquire(&a).await.unwrap());
        }
        // All are in use: the other worker has to wait until the first one has closed some.
        let acquired = tokio::spawn({
            let (other, a) = (other.clone(), a.clone());
            async move { other.acquire(&a).await }
        });
        held.truncate(1);
        let first = acquired.await.unwrap().expect("its share");
        let second = other.acquire(&a).await.expect("its share");
        assert!(other.try_acquire(&a).is_none(), "two are half of four");
        assert!(one.try_acquire(&a).is_some());
        drop((first, second));
        end.cancel();
        for task in tasks {
            task.await.unwrap();
        }
    }
}
