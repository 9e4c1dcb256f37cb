//! Units of work: one statement, or several that are atomic. Once begun, a unit runs to completion in its own task,
//! within a time limit, even if its caller is cancelled. A caller that is cancelled earlier cancels the unit.

use std::{any::Any, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use sea_orm::{ConnAcquireErr, DbErr};
use tokio::{sync::oneshot, time::timeout};

use super::transaction::{Transaction, internal};

/// A future that borrows a transaction for as long as it runs.
pub type InTransaction<'t, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 't>>;

/// The number of statements in a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One statement, which is atomic on both databases.
    Statement,
    /// Several statements, which require a transaction.
    Transaction,
}

/// The outcome of a unit.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The unit was committed.
    Committed,
    /// The unit was rolled back because its own work failed.
    RolledBack,
    /// The unit was rolled back because of another unit, and can be repeated.
    Interrupted,
    /// The database failed. If it failed during the commit, it is unknown whether the unit took effect.
    Failed(DbErr),
}

/// The failure of a unit.
#[derive(Debug)]
pub(super) enum UnitError<E> {
    /// The work of the unit failed.
    Work(E),
    /// The unit was rolled back because of another unit, and can be repeated.
    Interrupted,
    /// The database failed.
    Database(DbErr),
}

/// A unit with its result type erased, for the code that runs it.
pub(super) trait Unit: Send {
    fn shape(&self) -> Shape;

    /// The time limit.
    fn limit(&self) -> Duration;

    /// Whether the caller still waits for the unit.
    fn is_wanted(&self) -> bool;

    /// Runs the unit, and returns whether it should be committed.
    fn run<'u>(&'u mut self, transaction: &'u Transaction) -> BoxFuture<'u, bool>;

    /// Sends the result to the caller.
    fn finish(self: Box<Self>, outcome: Outcome);
}

/// The receiver of a unit's result.
pub(super) type Answer<T, E> = oneshot::Receiver<Result<T, UnitError<E>>>;

/// A unit and its result so far.
pub(super) struct PendingUnit<F, T, E> {
    shape: Shape,
    limit: Duration,
    work: Arc<F>,
    result: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, UnitError<E>>>,
}

impl<F, T, E> PendingUnit<F, T, E> {
    pub(super) fn new(shape: Shape, limit: Duration, work: Arc<F>) -> (Box<Self>, Answer<T, E>) {
        let (answer, answered) = oneshot::channel();
        let unit = Self {
            shape,
            limit,
            work,
            result: None,
            answer,
        };
        (Box::new(unit), answered)
    }
}

impl<F, T, E> Unit for PendingUnit<F, T, E>
where
    F: for<'t> Fn(&'t Transaction) -> InTransaction<'t, T, E> + Send + Sync,
    T: Send,
    E: Send,
{
    fn shape(&self) -> Shape {
        self.shape
    }

    fn limit(&self) -> Duration {
        self.limit
    }

    fn is_wanted(&self) -> bool {
        !self.answer.is_closed()
    }

    fn run<'u>(&'u mut self, transaction: &'u Transaction) -> BoxFuture<'u, bool> {
        Box::pin(async move {
            let result = (self.work)(transaction).await;
            self.result.insert(result).is_ok()
        })
    }

    fn finish(self: Box<Self>, outcome: Outcome) {
        let missing = || UnitError::Database(internal("the unit of work has no result"));
        let answer = match (outcome, self.result) {
            (Outcome::Failed(error), _) => Err(UnitError::Database(error)),
            (Outcome::Interrupted, _) => Err(UnitError::Interrupted),
            (Outcome::Committed, Some(Ok(value))) => Ok(value),
            (_, Some(Err(error))) => Err(UnitError::Work(error)),
            (Outcome::Committed | Outcome::RolledBack, _) => Err(missing()),
        };
        // Fails if the caller was cancelled.
        let _ = self.answer.send(answer);
    }
}

/// The result of running a unit, before the commit.
#[derive(Debug)]
pub(super) enum RunResult {
    /// The unit should be committed.
    Completed,
    /// The unit's own work failed, with the error of its first failed statement, if any. It should be rolled back.
    RolledBack(Option<DbErr>),
    /// The unit did not complete: the state of the connection is unknown.
    Broken(DbErr),
}

/// Runs a unit within its time limit. A panic is caught and fails only this unit.
pub(super) async fn run(unit: &mut dyn Unit, transaction: &Transaction) -> RunResult {
    let limit = unit.limit();
    let running = AssertUnwindSafe(unit.run(transaction)).catch_unwind();
    match timeout(limit, running).await {
        Ok(Ok(is_done)) => match transaction.take_failure() {
            None if is_done => RunResult::Completed,
            // A unit that ignores a failed statement is not committed either.
            Some(error) if is_done => RunResult::Broken(error),
            failure => RunResult::RolledBack(failure),
        },
        Ok(Err(panic)) => RunResult::Broken(panicked(&*panic)),
        Err(_) => RunResult::Broken(timed_out(limit)),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> DbErr {
    let message = media_telemetry::panic_message(panic);
    tracing::error!(message, "a unit of work panicked");
    // Unlike a failed connection, a panic is classified as a defect.
    DbErr::Custom("a unit of work panicked".to_owned())
}

/// The error of a unit that exceeded its time limit.
pub(super) fn timed_out(limit: Duration) -> DbErr {
    tracing::warn!(?limit, "a unit of work exceeded its time limit");
    DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)
}
