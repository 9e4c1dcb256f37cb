//! The table of open connections: how many there are, and which one is closed when there are too many.
//!
//! Every connection is accepted. When the table is full, a connection that does nothing for its client
//! gives way: first one whose refused body is being read to no purpose, then the one that has waited
//! longest for a request, then the oldest event stream, which its client resumes by itself. Only when
//! all others serve requests is the new connection turned away, with 503.

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

/// How long a client may take to send the head of a request, the first one of a connection included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may stay idle between two requests. Longer than proxies keep theirs (60 s at
/// AWS and nginx), so that they never use a connection that was just closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a client may take to read [`MIN_READ_BYTES`] of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// The bytes of an answer that a client has to read within [`READ_TIMEOUT`].
const MIN_READ_BYTES: usize = 16 * 1024;

/// The bytes of an unfinished head beyond which it counts as a large one.
const LARGE_HEAD_BYTES: usize = 16 * 1024;
/// The most large heads that may be unfinished at a time, from all clients. Hardly any client sends one.
const MAX_LARGE_HEADS: usize = 64;

/// How many connections there may be.
#[derive(Clone, Debug)]
pub(crate) struct ConnectionLimits {
    /// In all.
    pub(crate) total: usize,
    /// From one address, or one /64 of IPv6.
    pub(crate) per_address: usize,
    /// Proxies, which have the connections of all their clients: only the total applies to them.
    pub(crate) proxies: Vec<IpNet>,
}

/// All open connections.
pub(super) struct Connections {
    limits: ConnectionLimits,
    opened: Instant,
    table: Mutex<Table>,
}

/// The order in which connections give way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    /// A refused body is being read so that the client reads the answer.
    Draining,
    /// No request is in progress.
    Waiting,
    /// An event stream.
    Streaming,
    /// A request is in progress: never closed for another connection.
    Active,
}

#[derive(Default)]
struct Table {
    next: u64,
    slots: HashMap<u64, Arc<Shared>>,
    per_address: HashMap<IpAddr, usize>,
    /// Connections that can give way, in all (`None`) and by address, the first one first.
    evictable: BTreeMap<(Option<IpAddr>, Phase, u64), u64>,
    /// Connections with a large head that is not finished, the oldest first.
    large_heads: VecDeque<u64>,
}

/// The state of a connection that the table and the connection's task share.
struct Shared {
    address: IpAddr,
    phase: Mutex<(Phase, u64)>,
    /// Whether a request is being answered; bytes that come are not the head of one.
    busy: AtomicBool,
    /// Whether a part of a head has come.
    head: AtomicBool,
    /// Bytes of it that have come.
    head_bytes: AtomicUsize,
    /// Since when the connection waits for a request or its head, in milliseconds.
    since: AtomicU64,
    /// Since when an answer waits to be read, plus one; 0 if none does.
    blocked_since: AtomicU64,
    /// Bytes that were read of it since then.
    unblocked: AtomicUsize,
    /// Whether the body of the present request has not been read to its end.
    unread: AtomicBool,
    close: CancellationToken,
}

/// The place of one connection in the table; it leaves when this is dropped.
pub(super) struct Slot {
    connections: Arc<Connections>,
    id: u64,
    shared: Arc<Shared>,
}

/// Keeps a connection from being closed for another one: a request is in progress.
pub(super) struct ActiveRequest(Arc<Slot>);

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            opened: Instant::now(),
            table: Mutex::default(),
        })
    }

    /// Enters a connection, and closes another one if there are too many. `None` if all others are
    /// serving requests.
    pub(super) fn admit(self: &Arc<Self>, peer: IpAddr) -> Option<Slot> {
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
        Some(Slot {
            connections: Arc::clone(self),
            id: number,
            shared,
        })
    }

    /// Closes the connection that is the first to give way, if one is.
    pub(super) fn make_room(&self) {
        lock(&self.table).evict(None);
    }

    /// Closes connections whose clients are too slow: in sending a head, in asking for anything, or in
    /// reading an answer.
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

    /// Closes the first connection that can give way, of one address or of all.
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

    /// Forgets a connection, so that there is room before its task has ended.
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

impl Slot {
    /// A request has come.
    pub(super) fn begin(self: &Arc<Self>, has_body: bool) -> ActiveRequest {
        self.shared.busy.store(true, Ordering::Relaxed);
        self.shared.unread.store(has_body, Ordering::Relaxed);
        if self.shared.head_bytes.swap(0, Ordering::Relaxed) > LARGE_HEAD_BYTES {
            lock(&self.connections.table).forget_large_head(self.id);
        }
        self.enter(Phase::Active);
        ActiveRequest(Arc::clone(self))
    }

    /// Goes over to another phase.
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

    /// Notes bytes that have come from the client. If they make a head a large one and there are too many of
    /// those, the connection with the oldest is closed.
    pub(super) fn bytes_came(&self, bytes: usize) {
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

    /// The client does not read as fast as the answer comes.
    pub(super) fn write_blocked(&self) {
        let blocked = &self.shared.blocked_since;
        let now = self.connections.now() + 1;
        // Kept if it is blocked already.
        let _ = blocked.compare_exchange(0, now, Ordering::Relaxed, Ordering::Relaxed);
    }

    /// The client has read some of the answer; or all of it.
    pub(super) fn bytes_went(&self, bytes: Option<usize>) {
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

    /// The body of the present request was read to its end.
    pub(super) fn body_ended(&self) {
        self.shared.unread.store(false, Ordering::Relaxed);
    }

    /// Whether some of the last request's body has not been read.
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

impl Drop for Slot {
    fn drop(&mut self) {
        lock(&self.connections.table).remove(self.id);
    }
}

/// No code panics while it holds one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
