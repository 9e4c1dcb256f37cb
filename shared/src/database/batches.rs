//! Callers that want the same of the database at the same time, several to a statement: a round trip and
//! a commit cost about as much for many rows as for one.
//!
//! Nobody waits for a batch to fill. What comes while one is under way is the next one, so batches are as
//! large as the load makes them; where there is none, each is done at once and by itself.

use std::{
    collections::VecDeque,
    fmt,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures_util::future::join_all;
use sea_orm::{DbErr, RuntimeErr};
use tokio::{runtime::Handle, sync::oneshot, time::timeout};
use tokio_util::task::TaskTracker;

use super::{Database, is_refused};

/// The most items of one batch. A power of two, as all sizes are: the database plans a statement for each
/// size, so there should be few.
const MOST: usize = 32;
/// How long a batch holds up the next one: one may wait for a row that another has locked.
const PATIENCE: Duration = Duration::from_millis(25);

/// What a batch brings: one answer for each item, in their order.
pub(crate) type Answers<O> = Pin<Box<dyn Future<Output = Result<Vec<O>, DbErr>> + Send>>;

/// Items that are done several at a time.
pub(crate) struct Batches<I, O>(Arc<Inner<I, O>>);

struct Inner<I, O> {
    run: Box<dyn Fn(Vec<I>) -> Answers<O> + Send + Sync>,
    tasks: TaskTracker,
    line: Mutex<Line<I, O>>,
}

/// When an item is done.
enum Turn<I, O>
where
    I: Clone + Send + 'static,
    O: Send + 'static,
{
    /// By its caller, as nobody is before it: who goes away takes no other along.
    Now(I, Hold<I, O>),
    /// In the next batch.
    Later(oneshot::Receiver<Result<O, DbErr>>),
}

/// Makes the next batch wait for this one, until it is dropped.
struct Hold<I, O>(Arc<Inner<I, O>>)
where
    I: Clone + Send + 'static,
    O: Send + 'static;

/// Who waits for a batch.
struct Line<I, O> {
    waiting: VecDeque<Waiting<I, O>>,
    /// Whether a batch is under way that the next one waits for.
    is_held: bool,
}

struct Waiting<I, O> {
    item: I,
    answer: oneshot::Sender<Result<O, DbErr>>,
}

impl<I, O> Batches<I, O>
where
    I: Clone + Send + 'static,
    O: Send + 'static,
{
    /// Items that `run` does with the database. It is called once more for each item alone if the database
    /// refused a batch, so that no item fails because of another.
    pub(crate) fn new<F>(database: &Database, run: F) -> Self
    where
        F: Fn(Database, Vec<I>) -> Answers<O> + Send + Sync + 'static,
    {
        let tasks = database.batches.clone();
        let database = database.clone();
        Self(Arc::new(Inner {
            run: Box::new(move |items| run(database.clone(), items)),
            tasks,
            line: Mutex::new(Line {
                waiting: VecDeque::new(),
                is_held: false,
            }),
        }))
    }

    /// Does one item, in a batch with those that others want done at the same time. An item whose caller
    /// goes away may be done all the same.
    pub(crate) async fn join(&self, item: I) -> Result<O, DbErr> {
        match self.enter(item) {
            Turn::Now(item, hold) => self.0.do_now(item, hold).await,
            Turn::Later(answered) => answered.await.unwrap_or_else(|_| Err(broken_off())),
        }
    }

    fn enter(&self, item: I) -> Turn<I, O> {
        let mut line = self.0.line();
        if !line.is_held && line.waiting.is_empty() {
            line.is_held = true;
            return Turn::Now(item, Hold(Arc::clone(&self.0)));
        }
        let (answer, answered) = oneshot::channel();
        line.waiting.push_back(Waiting { item, answer });
        self.0.begin_next(line);
        Turn::Later(answered)
    }
}

impl<I, O> Inner<I, O>
where
    I: Clone + Send + 'static,
    O: Send + 'static,
{
    fn line(&self) -> MutexGuard<'_, Line<I, O>> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a batch of those that wait, in a task of its own: whoever goes away takes no other along.
    /// Closing the database waits for it.
    fn begin_next(self: &Arc<Self>, mut line: MutexGuard<'_, Line<I, O>>) {
        if line.is_held {
            return;
        }
        line.waiting.retain(|waiting| !waiting.answer.is_closed());
        let batch = line.next_batch();
        if batch.is_empty() {
            return;
        }
        // A hold may be dropped where the runtime is gone, and then nobody waits any more.
        if let Ok(runtime) = Handle::try_current() {
            line.is_held = true;
            drop(line);
            self.tasks.spawn_on(Arc::clone(self).run(batch), &runtime);
        }
    }

    async fn run(self: Arc<Self>, batch: Vec<Waiting<I, O>>) {
        let hold = Hold(Arc::clone(&self));
        let mut running = pin!(self.do_all(batch));
        let is_done = timeout(PATIENCE, &mut running).await.is_ok();
        drop(hold);
        if !is_done {
            running.await;
        }
    }

    async fn do_all(&self, batch: Vec<Waiting<I, O>>) {
        let items = batch.iter().map(|waiting| waiting.item.clone()).collect();
        match (self.run)(items).await {
            Ok(answers) => {
                for (waiting, answer) in batch.into_iter().zip(answers) {
                    waiting.answer(Ok(answer));
                }
            }
            // What may have been done must not be done again.
            Err(error) if batch.len() == 1 || !is_refused(&error) => {
                for waiting in batch {
                    waiting.answer(Err(error.clone()));
                }
            }
            Err(_) => {
                let alone = batch.into_iter().map(|waiting| self.do_alone(waiting));
                join_all(alone).await;
            }
        }
    }

    async fn do_now(&self, item: I, hold: Hold<I, O>) -> Result<O, DbErr> {
        let mut running = (self.run)(vec![item]);
        let in_time = timeout(PATIENCE, &mut running).await;
        drop(hold);
        match in_time {
            Ok(answers) => only(answers),
            Err(_) => only(running.await),
        }
    }

    async fn do_alone(&self, waiting: Waiting<I, O>) {
        let answers = (self.run)(vec![waiting.item.clone()]).await;
        waiting.answer(only(answers));
    }
}

impl<I, O> Drop for Hold<I, O>
where
    I: Clone + Send + 'static,
    O: Send + 'static,
{
    fn drop(&mut self) {
        let mut line = self.0.line();
        line.is_held = false;
        self.0.begin_next(line);
    }
}

impl<I, O> Line<I, O> {
    fn next_batch(&mut self) -> Vec<Waiting<I, O>> {
        let most = self.waiting.len().min(MOST);
        let size = most.checked_ilog2().map_or(0, |log| 1 << log);
        self.waiting.drain(..size).collect()
    }
}

impl<I, O> Waiting<I, O> {
    fn answer(self, answer: Result<O, DbErr>) {
        // Fails where the caller has gone away, who then wants to know nothing.
        let _ = self.answer.send(answer);
    }
}

/// The answer of a batch of one.
fn only<O>(answers: Result<Vec<O>, DbErr>) -> Result<O, DbErr> {
    answers?.pop().ok_or_else(broken_off)
}

fn broken_off() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(
        "the batch was broken off; it is not known what of it was done".to_owned(),
    ))
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
    use sea_orm::{ConnAcquireErr, ConnectionTrait as _};

    use super::*;
    use crate::config::DatabaseUrl;

    fn doubled(number: u32) -> u32 {
        number.checked_mul(2).expect("a number that can be doubled")
    }

    type Log = Arc<Mutex<Vec<Vec<u32>>>>;

    /// Batches that double numbers and write down what they were given. Zero is refused, and its batch with
    /// it; thirteen finds no connection; a hundred takes an hour; what cannot be doubled panics.
    async fn doubling() -> (tempfile::TempDir, Batches<u32, u32>, Log) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        let database = Database::connect(&DatabaseUrl::Sqlite { path }, 1).await;
        let log = Log::default();
        let written = Arc::clone(&log);
        let batches = Batches::new(&database.unwrap(), move |database, items: Vec<u32>| {
            written.lock().unwrap().push(items.clone());
            Box::pin(async move {
                // As if it went to a database.
                tokio::task::yield_now().await;
                if items.contains(&100) {
                    tokio::time::sleep(Duration::from_hours(1)).await;
                }
                if items.contains(&13) {
                    return Err(DbErr::ConnectionAcquire(ConnAcquireErr::Timeout));
                }
                if items.contains(&0) {
                    let sql = "SELECT * FROM what_is_not_there";
                    database.writer().execute_unprepared(sql).await?;
                }
                Ok(items.into_iter().map(doubled).collect())
            })
        });
        (directory, batches, log)
    }

    #[tokio::test]
    async fn what_comes_while_one_is_under_way_is_the_next() {
        let (_directory, batches, log) = doubling().await;
        let answers = join_all((21..=48).map(|n| batches.join(n))).await;
        for (n, answer) in (21..=48).zip(answers) {
            assert_eq!(answer.unwrap(), n * 2);
        }
        let sizes: Vec<usize> = log.lock().unwrap().iter().map(Vec::len).collect();
        assert_eq!(sizes, [1, 16, 8, 2, 1]);
    }

    #[tokio::test]
    async fn one_that_fails_takes_no_other_along() {
        let (_directory, batches, log) = doubling().await;
        let answers = join_all([1, 2, 0, 3, 4].map(|n| batches.join(n))).await;
        let good: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, true, false, true, true]);
        let log = log.lock().unwrap();
        let expected: [&[u32]; 6] = [&[1], &[2, 0, 3, 4], &[2], &[0], &[3], &[4]];
        assert_eq!(*log, expected);
    }

    #[tokio::test]
    async fn nothing_is_tried_again_where_the_database_is_away() {
        let (_directory, batches, log) = doubling().await;
        let answers = join_all([1, 13, 3].map(|n| batches.join(n))).await;
        let good: Vec<bool> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(good, [true, false, false]);
        assert_eq!(*log.lock().unwrap(), [vec![1], vec![13, 3]]);
    }

    #[tokio::test]
    async fn who_goes_away_before_its_turn_is_left_out() {
        let (_directory, batches, log) = doubling().await;
        let gone = async {
            tokio::select! {
                biased;
                _ = batches.join(2) => panic!("its turn has not come"),
                () = std::future::ready(()) => {}
            }
        };
        let (first, ()) = tokio::join!(batches.join(1), gone);
        assert_eq!(first.unwrap(), 2);
        assert_eq!(batches.join(3).await.unwrap(), 6);
        assert_eq!(*log.lock().unwrap(), [vec![1], vec![3]]);
    }

    #[tokio::test]
    async fn a_slow_one_does_not_hold_up_the_next() {
        let (_directory, batches, _) = doubling().await;
        let slow = batches.join(100);
        let next = async {
            tokio::task::yield_now().await;
            batches.join(1).await
        };
        tokio::select! {
            _ = slow => panic!("the slow one was first"),
            next = next => assert_eq!(next.unwrap(), 2),
        }
    }

    #[tokio::test]
    async fn a_panic_ends_the_batch_alone() {
        let (_directory, batches, _) = doubling().await;
        let caller = batches.clone();
        let alone = tokio::spawn(async move { caller.join(u32::MAX).await });
        assert!(alone.await.is_err());
        let (before, panicked) = tokio::join!(batches.join(1), batches.join(u32::MAX));
        assert_eq!((before.unwrap(), panicked.is_err()), (2, true));
        assert_eq!(batches.join(3).await.unwrap(), 6);
    }
}
