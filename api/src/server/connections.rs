//! The table of open connections: its limits, and the eviction when one is exceeded.
//!
//! Every connection is accepted. When the table is full, one is evicted: first one that drains a rejected body, then
//! the one that has waited longest for a request, then the oldest event stream, which its client resumes automatically.
//! If all others serve requests, the new connection is turned away with 503.

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::IpAddr,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use ipnet::IpNet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::client_address::site;

/// The longest time to send the head of a request, including the first one of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// The longest idle time between two requests. It is longer than that of proxies (60 s at AWS and nginx), so that
/// they never use a connection that was just closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// The longest time to read [`MIN_READ_BYTES`] of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// The bytes of an answer that a client has to read within [`READ_TIMEOUT`].
const MIN_READ_BYTES: usize = 16 * 1024;

/// The size above which an unfinished head counts as large, in bytes.
const LARGE_HEAD_BYTES: usize = 16 * 1024;
/// The most unfinished large heads at a time, of all clients. Hardly any client sends one.
const MAX_LARGE_HEADS: usize = 64;

/// The limits of the number of connections.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionLimits {
    /// The total.
    pub(crate) total: usize,
    /// The number from one address, or one /64 of IPv6.
    pub(crate) per_address: usize,
    /// Proxies, which carry the connections of all their clients: only the total applies to them.
    pub(crate) proxies: Vec<IpNet>,
}

/// All open connections.
pub(super) struct Connections {
    limits: ConnectionLimits,
    opened: Instant,
    table: Mutex<Table>,
}

/// The order of eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// A rejected body is drained, so that the client reads the answer.
    Draining,
    /// No request is in progress.
    Waiting,
    /// An event stream.
    Streaming,
    /// A request is in progress: never evicted.
    Active,
}

#[derive(Default)]
struct Table {
    next: u64,
    slots: HashMap<u64, Arc<Shared>>,
    per_address: HashMap<IpAddr, usize>,
    /// The connections that can be evicted, of all addresses (`None`) and by address, in the order of eviction.
    evictable: BTreeMap<(Option<IpAddr>, Phase, u64), u64>,
    /// The connections with an unfinished large head, the oldest first.
    large_heads: VecDeque<u64>,
}

/// The state of a connection that the table and the connection's task share.
struct Shared {
    address: IpAddr,
    phase: Mutex<(Phase, u64)>,
    /// Whether a request is in progress: received bytes do not belong to a head.
    busy: AtomicBool,
    /// Whether a part of a head was received.
    head: AtomicBool,
    /// The received bytes of the head.
    head_bytes: AtomicUsize,
    /// The start of the wait for a request or its head, in milliseconds.
    since: AtomicU64,
    /// The time at which an answer was blocked by the client, plus one; 0 if none is.
    blocked_since: AtomicU64,
    /// The bytes that the client has read since then.
    unblocked: AtomicUsize,
    /// Whether the body of the current request was not read to its end.
    unread: AtomicBool,
    close: CancellationToken,
}

/// The entry of one connection in the table, which is removed when this is dropped.
pub(super) struct ConnectionSlot {
    connections: Arc<Connections>,
    id: u64,
    shared: Arc<Shared>,
}

/// A request in progress, which keeps its connection from being evicted.
pub(super) struct ActiveRequest(Arc<ConnectionSlot>);

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            opened: Instant::now(),
            table: Mutex::default(),
        })
    }

    /// Adds a connection, and evicts another one if there are too many. None if all others serve requests.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<ConnectionSlot> {
        let address = site(peer.to_canonical());
        let mut table = lock(&self.table);
        let own = table.per_address.get(&address).copied().unwrap_or_default();
        let is_proxy = || {
            self.limits
                .proxies
                .iter()
                .any(|n| n.contains(&peer.to_canonical()))
        };
        if own >= self.limits.per_address && !is_proxy() && !table.evict(Some(address)) {
            return None;
        }
        if table.slots.len() >= self.limits.total && !table.evict(None) {
            return None;
        }
        let number = table.next();
        let shared = Arc::new(Shared {
            address,
            phase: Mutex::new((Phase::Waiting, number)),
            busy: AtomicBool::new(false),
            head: AtomicBool::new(true),
            head_bytes: AtomicUsize::new(0),
            since: AtomicU64::new(self.now()),
            blocked_since: AtomicU64::new(0),
            unblocked: AtomicUsize::new(0),
            unread: AtomicBool::new(false),
            close: CancellationToken::new(),
        });
        table.slots.insert(number, Arc::clone(&shared));
        *table.per_address.entry(address).or_default() += 1;
        table.index(address, (Phase::Waiting, number), number);
        Some(ConnectionSlot {
            connections: Arc::clone(self),
            id: number,
            shared,
        })
    }

    /// Evicts the first connection, if one can be.
    pub(super) fn make_room(&self) {
        lock(&self.table).evict(None);
    }

    /// Closes connections whose clients are too slow to send a head, to send a request, or to read an answer.
    pub(super) fn close_overdue(&self) {
        self.close_overdue_at(self.now());
    }

    fn close_overdue_at(&self, now: u64) {
        let mut table = lock(&self.table);
        let overdue = |(id, shared): (&u64, &Arc<Shared>)| shared.is_overdue(now).then_some(*id);
        let overdue: Vec<u64> = table.slots.iter().filter_map(overdue).collect();
        for id in overdue {
            table.close(id);
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

impl Table {
    fn next(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    fn index(&mut self, address: IpAddr, (phase, number): (Phase, u64), id: u64) {
        self.evictable.insert((None, phase, number), id);
        self.evictable.insert((Some(address), phase, number), id);
    }

    fn unindex(&mut self, address: IpAddr, (phase, number): (Phase, u64)) {
        self.evictable.remove(&(None, phase, number));
        self.evictable.remove(&(Some(address), phase, number));
    }

    /// Evicts the first connection of one address, or of all.
    fn evict(&mut self, address: Option<IpAddr>) -> bool {
        let range = (address, Phase::Draining, 0)..(address, Phase::Active, 0);
        let first = self.evictable.range(range).next().map(|(_, id)| *id);
        first.is_some_and(|id| self.close(id))
    }

    fn close(&mut self, id: u64) -> bool {
        let Some(shared) = self.remove(id) else {
            return false;
        };
        shared.close.cancel();
        true
    }

    fn add_large_head(&mut self, id: u64) {
        if !self.slots.contains_key(&id) {
            return;
        }
        self.large_heads.push_back(id);
        if self.large_heads.len() > MAX_LARGE_HEADS {
            let oldest = self.large_heads.pop_front();
            oldest.map(|id| self.close(id));
        }
    }

    fn forget_large_head(&mut self, id: u64) {
        self.large_heads.retain(|each| *each != id);
    }

    /// Removes a connection, so that there is room before its task has ended.
    fn remove(&mut self, id: u64) -> Option<Arc<Shared>> {
        let shared = self.slots.remove(&id)?;
        self.unindex(shared.address, *lock(&shared.phase));
        self.forget_large_head(id);
        if let Some(count) = self.per_address.get_mut(&shared.address) {
            *count -= 1;
            if *count == 0 {
                self.per_address.remove(&shared.address);
            }
        }
        Some(shared)
    }
}

impl Shared {
    fn is_overdue(&self, now: u64) -> bool {
        let beyond =
            |since: u64, limit: Duration| u128::from(now.saturating_sub(since)) > limit.as_millis();
        let blocked = self.blocked_since.load(Ordering::Relaxed);
        if blocked > 0 && beyond(blocked - 1, READ_TIMEOUT) {
            return true;
        }
        let limit = if self.head.load(Ordering::Relaxed) {
            HEAD_TIMEOUT
        } else {
            IDLE_TIMEOUT
        };
        !self.busy.load(Ordering::Relaxed) && beyond(self.since.load(Ordering::Relaxed), limit)
    }
}

impl ConnectionSlot {
    /// Marks the beginning of a request.
    pub(super) fn begin(self: &Arc<Self>, has_body: bool) -> ActiveRequest {
        self.shared.busy.store(true, Ordering::Relaxed);
        self.shared.unread.store(has_body, Ordering::Relaxed);
        if self.shared.head_bytes.swap(0, Ordering::Relaxed) > LARGE_HEAD_BYTES {
            lock(&self.connections.table).forget_large_head(self.id);
        }
        self.enter(Phase::Active);
        ActiveRequest(Arc::clone(self))
    }

    /// Enters another phase.
    pub(super) fn enter(&self, phase: Phase) {
        let mut table = lock(&self.connections.table);
        if !table.slots.contains_key(&self.id) {
            return;
        }
        let number = table.next();
        let mut current = lock(&self.shared.phase);
        table.unindex(self.shared.address, *current);
        *current = (phase, number);
        if phase != Phase::Active {
            table.index(self.shared.address, *current, self.id);
        }
    }

    /// Waits until the connection has to close.
    pub(super) async fn closed(&self) {
        self.shared.close.cancelled().await;
    }

    /// Records received bytes. If they make a head a large one and there are too many, the connection with the oldest
    /// one is closed.
    pub(super) fn bytes_received(&self, bytes: usize) {
        let shared = &self.shared;
        if shared.busy.load(Ordering::Relaxed) {
            return;
        }
        if !shared.head.swap(true, Ordering::Relaxed) {
            shared
                .since
                .store(self.connections.now(), Ordering::Relaxed);
        }
        let before = shared.head_bytes.fetch_add(bytes, Ordering::Relaxed);
        if before <= LARGE_HEAD_BYTES && before + bytes > LARGE_HEAD_BYTES {
            lock(&self.connections.table).add_large_head(self.id);
        }
    }

    /// Records that the client reads more slowly than the answer is sent.
    pub(super) fn write_blocked(&self) {
        let blocked = &self.shared.blocked_since;
        let now = self.connections.now() + 1;
        // Only the first call after the client has read counts.
        let _ = blocked.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Records that the client has read some bytes of the answer, or all (`None`).
    pub(super) fn bytes_sent(&self, bytes: Option<usize>) {
        let shared = &self.shared;
        if shared.blocked_since.load(Ordering::Relaxed) == 0 {
            return;
        }
        let read = bytes.map(|bytes| shared.unblocked.fetch_add(bytes, Ordering::Relaxed) + bytes);
        if read.is_none_or(|read| read >= MIN_READ_BYTES) {
            shared.unblocked.store(0, Ordering::Relaxed);
            shared.blocked_since.store(0, Ordering::Relaxed);
        }
    }

    /// Records that the body of the current request was read to its end.
    pub(super) fn body_ended(&self) {
        self.shared.unread.store(false, Ordering::Relaxed);
    }

    /// Whether the last request's body was not read to its end.
    pub(super) fn has_unread_body(&self) -> bool {
        self.shared.unread.load(Ordering::Relaxed)
    }
}

impl Drop for ActiveRequest {
    fn drop(&mut self) {
        let shared = &self.0.shared;
        let now = self.0.connections.now();
        shared.since.store(now, Ordering::Relaxed);
        shared.head.store(false, Ordering::Relaxed);
        shared.busy.store(false, Ordering::Relaxed);
        self.0.enter(Phase::Waiting);
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        lock(&self.connections.table).remove(self.id);
    }
}

/// Locks a mutex. No code panics while it holds one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
