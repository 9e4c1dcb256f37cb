//! How many connections there are, and which one goes when there are too many.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

/// How often room is looked for while all connections are busy.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Room for so many connections. When it is used up, the connection that has waited longest for a
/// request gives way: connections that ask for nothing keep nobody out.
pub(super) struct Seats {
    free: Arc<Semaphore>,
    waiting: Arc<Mutex<Waiting>>,
}

/// The connections without a request under way, longest first.
#[derive(Default)]
struct Waiting {
    next: u64,
    since: BTreeMap<u64, CancellationToken>,
}

impl Waiting {
    fn enter(&mut self, close: CancellationToken) -> u64 {
        let place = self.next;
        self.next += 1;
        self.since.insert(place, close);
        place
    }
}

/// The room of one connection.
pub(super) struct Seat {
    waiting: Arc<Mutex<Waiting>>,
    /// Its place among those that wait, while it does.
    place: Mutex<Option<u64>>,
    close: CancellationToken,
    _room: OwnedSemaphorePermit,
}

/// Keeps a connection from giving way: a request is under way.
pub(super) struct Busy(Arc<Seat>);

impl Seats {
    pub(super) fn new(most: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most)),
            waiting: Arc::default(),
        }
    }

    /// Waits for room, and makes some if there is none.
    pub(super) async fn take(&self) -> Seat {
        let room = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(room) => room,
            Err(_) => self.room().await,
        };
        let close = CancellationToken::new();
        let place = lock(&self.waiting).enter(close.clone());
        Seat {
            waiting: Arc::clone(&self.waiting),
            place: Mutex::new(Some(place)),
            close,
            _room: room,
        }
    }

    async fn room(&self) -> OwnedSemaphorePermit {
        loop {
            self.make_room();
            let room = timeout(LOOK_AGAIN, Arc::clone(&self.free).acquire_owned()).await;
            // It is never closed.
            if let Ok(Ok(room)) = room {
                return room;
            }
        }
    }

    /// Has the connection go that has waited longest for a request, if one waits.
    pub(super) fn make_room(&self) {
        let longest = lock(&self.waiting).since.pop_first();
        if let Some((_, close)) = longest {
            close.cancel();
        }
    }
}

impl Seat {
    /// A request has come.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.leave();
        Busy(Arc::clone(self))
    }

    /// Ends when the connection has to go.
    pub(super) async fn unseated(&self) {
        self.close.cancelled().await;
    }

    fn leave(&self) {
        if let Some(place) = lock(&self.place).take() {
            lock(&self.waiting).since.remove(&place);
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let seat = &self.0;
        let place = lock(&seat.waiting).enter(seat.close.clone());
        *lock(&seat.place) = Some(place);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}

/// No code panics while it holds one of these.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether the connection was asked to go.
    fn has_to_go(seat: &Seat) -> bool {
        seat.close.is_cancelled()
    }

    #[tokio::test]
    async fn who_has_waited_longest_gives_way_and_who_is_busy_does_not() {
        let seats = Seats::new(3);
        let [first, second, third] = [
            Arc::new(seats.take().await),
            Arc::new(seats.take().await),
            Arc::new(seats.take().await),
        ];
        let busy = first.begin();
        seats.make_room();
        assert!(!has_to_go(&first));
        assert!(has_to_go(&second));
        // After its request, it waits anew.
        drop(busy);
        seats.make_room();
        assert!(has_to_go(&third));
        assert!(!has_to_go(&first));
        seats.make_room();
        assert!(has_to_go(&first));
    }

    #[tokio::test]
    async fn a_new_connection_gets_the_room_of_one_that_waits() {
        let seats = Seats::new(1);
        let idle = seats.take().await;
        let newcomer = async { seats.take().await };
        let leaving = async {
            idle.unseated().await;
            drop(idle);
        };
        let (newcomer, ()) = tokio::join!(newcomer, leaving);
        assert!(!has_to_go(&newcomer));
        assert_eq!(lock(&seats.waiting).since.len(), 1);
        drop(newcomer);
        assert!(lock(&seats.waiting).since.is_empty());
    }
}
