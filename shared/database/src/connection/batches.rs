//! Batches: concurrent callers of the same operation share one statement, since a round trip and a commit cost about as
//! much for many rows as for one.
//!
//! No caller waits for a batch to fill. Items that arrive while a batch runs form the next batch, so batches grow with
//! the load; without load, each item runs immediately in a batch of its own. Every batch runs in its own task, so
//! cancelling one caller does not affect the others.

use std::{
    collections::VecDeque,
    fmt,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use sea_orm::DbErr;
use tokio::{runtime::Handle, sync::oneshot, time::timeout};
use tokio_util::task::TaskTracker;

use super::{Database, failure::is_refused, transaction::internal};

/// The maximum number of items in a batch. All sizes are powers of two: the database plans one statement per size, so
/// there should be few sizes.
const MAX_BATCH_ITEMS: usize = 32;
/// The maximum time for which a running batch, which may wait for a locked row, delays the next one.
const MAX_BLOCKING_WAIT: Duration = Duration::from_millis(25);

/// The results of a batch: one per item, in the same order.
pub(crate) type Answers<O> = Pin<Box<dyn Future<Output = Result<Vec<O>, DbErr>> + Send>>;

/// A queue of items that are processed in batches.
pub(crate) struct Batches<I, O>(Arc<Inner<I, O>>);

struct Inner<I, O> {
    run: Box<dyn Fn(Vec<I>) -> Answers<O> + Send + Sync>,
    tasks: TaskTracker,
    queue: Mutex<Queue<I, O>>,
}

/// The items that wait for a batch.
struct Queue<I, O> {
    waiting: VecDeque<Waiting<I, O>>,
    /// Whether the next batch has to wait for a running one.
    is_blocked: bool,
}

struct Waiting<I, O> {
    item: I,
    answer: oneshot::Sender<Result<O, DbErr>>,
}

/// Delays the next batch until it is dropped.
struct InFlightGuard<I, O>(Arc<Inner<I, O>>)
where
    I: Clone + Send + 'static,
    O: Send + 'static;

impl<I, O> Batches<I, O>
where
    I: Clone + Send + 'static,
    O: Send + 'static,
{
    /// Creates a queue whose batches are executed by `run`. If the database refuses a batch, `run` is called again for
    /// each item alone, so that no item fails because of another.
    pub(crate) fn new<F>(database: &Database, run: F) -> Self
    where
        F: Fn(Database, Vec<I>) -> Answers<O> + Send + Sync + 'static,
    {
        let tasks = database.tasks.clone();
        let database = database.in_own_task();
        Self(Arc::new(Inner {
            run: Box::new(move |items| run(database.clone(), items)),
            tasks,
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                is_blocked: false,
            }),
        }))
    }

    /// Processes one item in a batch with concurrently submitted ones. An item whose caller is cancelled before its
    /// batch begins is skipped; once its batch has begun, it is processed regardless.
    pub(crate) async fn submit(&self, item: I) -> Result<O, DbErr> {
        let answered = self.enqueue(item);
        answered.await.unwrap_or_else(|_| Err(interrupted()))
    }

    fn enqueue(&self, item: I) -> oneshot::Receiver<Result<O, DbErr>> {
        let (answer, answered) = oneshot::channel();
        let mut queue = self.0.queue();
        queue.waiting.push_back(Waiting { item, answer });
        self.0.start_next(queue);
        answered
    }
}

impl<I, O> Inner<I, O>
where
    I: Clone + Send + 'static,
    O: Send + 'static,
{
    fn queue(&self) -> MutexGuard<'_, Queue<I, O>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts a batch of the waiting items, unless another one blocks it. Closing the database waits for the batch.
    fn start_next(self: &Arc<Self>, mut queue: MutexGuard<'_, Queue<I, O>>) {
        if queue.is_blocked {
            return;
        }
        queue.waiting.retain(|waiting| !waiting.answer.is_closed());
        let batch = queue.next_batch();
        if batch.is_empty() {
            return;
        }
        // A guard may be dropped during the shutdown of the runtime, when no caller is left.
        if let Ok(runtime) = Handle::try_current() {
            queue.is_blocked = true;
            drop(queue);
            self.tasks.spawn_on(Arc::clone(self).run(batch), &runtime);
        }
    }

    async fn run(self: Arc<Self>, batch: Vec<Waiting<I, O>>) {
        let guard = InFlightGuard(Arc::clone(&self));
        let mut running = pin!(self.process(batch));
        let is_done = timeout(MAX_BLOCKING_WAIT, &mut running).await.is_ok();
        drop(guard);
        if !is_done {
            running.await;
        }
    }

    async fn process(&self, batch: Vec<Waiting<I, O>>) {
        let items = batch.iter().map(|waiting| waiting.item.clone()).collect();
        match (self.run)(items).await {
            Ok(answers) => {
                for (waiting, answer) in batch.into_iter().zip(answers) {
                    waiting.answer(Ok(answer));
                }
            }
            // Items that may have been committed must not be repeated.
            Err(error) if batch.len() == 1 || !is_refused(&error) => {
                for waiting in batch {
                    waiting.answer(Err(error.clone()));
                }
            }
            Err(_) => {
                let retries = batch.into_iter().map(|waiting| self.process_one(waiting));
                join_all(retries).await;
            }
        }
    }

    async fn process_one(&self, waiting: Waiting<I, O>) {
        let answers = (self.run)(vec![waiting.item.clone()]).await;
        let answer = answers.and_then(|mut answers| answers.pop().ok_or_else(interrupted));
        waiting.answer(answer);
    }
}

impl<I, O> Drop for InFlightGuard<I, O>
where
    I: Clone + Send + 'static,
    O: Send + 'static,
{
    fn drop(&mut self) {
        let mut queue = self.0.queue();
        queue.is_blocked = false;
        self.0.start_next(queue);
    }
}

impl<I, O> Queue<I, O> {
    fn next_batch(&mut self) -> Vec<Waiting<I, O>> {
        let available = self.waiting.len().min(MAX_BATCH_ITEMS);
        let size = available.checked_ilog2().map_or(0, |log| 1 << log);
        self.waiting.drain(..size).collect()
    }
}

impl<I, O> Waiting<I, O> {
    fn answer(self, answer: Result<O, DbErr>) {
        // Fails if the caller was cancelled.
        let _ = self.answer.send(answer);
    }
}

fn interrupted() -> DbErr {
    internal("the batch was interrupted; it is unknown which of its items were committed")
}

impl<I, O> Clone for Batches<I, O> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<I, O> fmt::Debug for Batches<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batches").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use sea_orm::ConnAcquireErr;

    use super::*;
    use crate::DatabaseUrl;

    fn doubled(number: u32) -> u32 {
        number.checked_mul(2).expect("a number that can be doubled")
    }

    type Log = Arc<Mutex<Vec<Vec<u32>>>>;

    /// Batches that double numbers, and a log of their items. The database refuses batches with 0, batches with 13 get
    /// no connection, batches with 100 take an hour, and numbers that cannot be doubled panic.
    async fn doubling() -> (tempfile::TempDir, Batches<u32, u32>, Log) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        let database = Database::connect(&DatabaseUrl::Sqlite { path }, 1).await;
        let log = Log::default();
        let written = Arc::clone(&log);
        let batches = Batches::new(&database.unwrap(), move |database, items: Vec<u32>| {
            written.lock().unwrap().push(items.clone());
            Box::pin(async move {
                // Simulates a round trip to a database.
                tokio::task::yield_now().await;
                if items.contains(&100) {
                    tokio::time::sleep(Duration::from_hours(1)).await;
                }
                if items.contains(&13) {
                    return Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout));
                }
                if items.contains(&0) {
                    database.write_sql("DELETE FROM no_such_table", []).await?;
                }
                Ok(items.into_iter().map(doubled).collect())
            })
        });
        (directory, batches, log)
    }

    #[tokio::test]
    async fn items_that_arrive_during_a_batch_form_the_next_one() {
        let (_directory, batches, log) = doubling().await;
        let answers = join_all((21..=48).map(|n| batches.submit(n))).await;
        for (n, answer) in (21..=48).zip(answers) {
            assert_eq!(answer.unwrap(), n * 2);
        }
        let sizes: Vec<usize> = log.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 16, 8, 2, 1]);
    }

    #[tokio::test]
    async fn a_refused_item_does_not_fail_the_others() {
        let (_directory, batches, log) = doubling().await;
        let answers = join_all([1, 2, 0, 3, 4].map(|n| batches.submit(n))).await;
        let good: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, true, false, true, true]);
        let log = log.lock().unwrap();
        let expected: [&[u32]; 6] = [&[1], &[2, 0, 3, 4], &[2], &[0], &[3], &[4]];
        assert_eq!(*log, expected);
    }

    #[tokio::test]
    async fn a_batch_is_not_retried_if_the_database_is_unavailable() {
        let (_directory, batches, log) = doubling().await;
        let answers = join_all([1, 13, 3].map(|n| batches.submit(n))).await;
        let good: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, false, false]);
        assert_eq!(*log.lock().unwrap(), [vec![1], vec![13, 3]]);
    }

    #[tokio::test]
    async fn an_item_cancelled_before_its_batch_is_skipped() {
        let (_directory, batches, log) = doubling().await;
        let cancelled = async {
            tokio::select! {
                biased;
                _ = batches.submit(2) => panic!("the item ran before its batch"),
                () = std::future::ready(()) => {}
            }
        };
        let (first, ()) = tokio::join!(batches.submit(1), cancelled);
        assert_eq!(first.unwrap(), 2);
        assert_eq!(batches.submit(3).await.unwrap(), 6);
        assert_eq!(*log.lock().unwrap(), [vec![1], vec![3]]);
    }

    #[tokio::test]
    async fn a_slow_batch_does_not_block_the_next() {
        let (_directory, batches, _) = doubling().await;
        let slow = batches.submit(100);
        let next = async {
            tokio::task::yield_now().await;
            batches.submit(1).await
        };
        tokio::select! {
            _ = slow => panic!("the slow batch was first"),
            next = next => assert_eq!(next.unwrap(), 2),
        }
    }

    #[tokio::test]
    async fn a_panic_fails_only_its_own_batch() {
        let (_directory, batches, _) = doubling().await;
        let caller = batches.clone();
        assert!(caller.submit(u32::MAX).await.is_err());
        let (before, panicked) = tokio::join!(batches.submit(1), batches.submit(u32::MAX));
        assert_eq!((before.unwrap(), panicked.is_err()), (2, true));
        assert_eq!(batches.submit(3).await.unwrap(), 6);
    }
}
