//! How many connections there are, and which one goes when there are too many.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
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
    places: Arc<Places>,
}

/// All connections. A request only writes its own place; they are looked through where there is no room.
#[derive(Default)]
struct Places {
    /// How often a connection began to wait so far.
    waits: AtomicU64,
    taken: Mutex<HashMap<u64, Arc<Place>>>,
}

struct Place {
    /// The number of the wait that it is in, or [`BUSY`].
    waits: AtomicU64,
    close: CancellationToken,
}

/// What stands for the number of a wait while a request is under way, and once the connection has to go.
const BUSY: u64 = 0;

impl Places {
    fn next_wait(&self) -> u64 {
        // Never `BUSY`.
        self.waits.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The longest wait that there is, and whose it is.
    fn longest_wait(&self) -> Option<(u64, Arc<Place>)> {
        let taken = lock(&self.taken);
        let waits = taken
            .values()
            .map(|place| (place.waits.load(Ordering::Acquire), place));
        let longest = waits
            .filter(|(wait, _)| *wait != BUSY)
            .min_by_key(|(wait, _)| *wait);
        longest.map(|(wait, place)| (wait, Arc::clone(place)))
    }
}

/// The room of one connection.
pub(super) struct Seat {
    places: Arc<Places>,
    number: u64,
    place: Arc<Place>,
    _room: OwnedSemaphorePermit,
}

/// Keeps a connection from giving way: a request is under way.
pub(super) struct Busy(Arc<Seat>);

impl Seats {
    pub(super) fn new(most: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(most)),
            places: Arc::default(),
        }
    }

    /// Waits for room, and makes some if there is none.
    pub(super) async fn take(&self) -> Seat {
        let room = match Arc::clone(&self.free).try_acquire_owned() {
            Ok(room) => room,
            Err(_) => self.room().await,
        };
        let number = self.places.next_wait();
        let place = Arc::new(Place {
            waits: AtomicU64::new(number),
            close: CancellationToken::new(),
        });
        lock(&self.places.taken).insert(number, Arc::clone(&place));
        Seat {
            places: Arc::clone(&self.places),
            number,
            place,
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
        while let Some((wait, place)) = self.places.longest_wait() {
            let waits = &place.waits;
            // Otherwise a request has come just now.
            if waits
                .compare_exchange(wait, BUSY, Ordering::AcqRel, Ordering::Acquire)
                .is_ok()
            {
                place.close.cancel();
                return;
            }
        }
    }
}

impl Seat {
    /// A request has come.
    pub(super) fn begin(self: &Arc<Self>) -> Busy {
        self.place.waits.store(BUSY, Ordering::Release);
        Busy(Arc::clone(self))
    }

    /// Ends when the connection has to go.
    pub(super) async fn unseated(&self) {
        self.place.close.cancelled().await;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let seat = &self.0;
        let wait = seat.places.next_wait();
        seat.place.waits.store(wait, Ordering::Release);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.places.taken).remove(&self.number);
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
        seat.place.close.is_cancelled()
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
        assert_eq!(lock(&seats.places.taken).len(), 1);
        drop(newcomer);
        assert!(lock(&seats.places.taken).is_empty());
    }
}
