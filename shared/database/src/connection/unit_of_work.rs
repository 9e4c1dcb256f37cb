//! Units of work: a statement, or several that belong together. Once begun, a unit runs to its end in a
//! task of its own, within a limit in time. A caller that goes away before that is not heard of again;
//! one that goes away before the unit has begun takes it back.

use std::{any::Any, panic::AssertUnwindSafe, pin::Pin, sync::Arc, time::Duration};

use futures_util::{FutureExt as _, future::BoxFuture};
use sea_orm::{ConnAcquireErr, DbErr};
use tokio::{sync::oneshot, time::timeout};

use super::transaction::{Transaction, internal};

/// A future that borrows a transaction for as long as it runs.
pub type InTransaction<'t, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 't>>;

/// How many statements a unit has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// One, which both databases make whole by themselves.
    Statement,
    /// Several, which need a transaction around them.
    Transaction,
}

/// How a unit ended.
#[derive(Debug)]
pub(super) enum Outcome {
    /// It is committed.
    Committed,
    /// It is rolled back, for its own reason.
    RolledBack,
    /// It is rolled back because of another unit, and would succeed if it were run again.
    Interrupted,
    /// The database failed. Whether the unit took effect is unknown if that was while it was committed.
    Failed(DbErr),
}

/// Why a unit brought nothing.
#[derive(Debug)]
pub(super) enum UnitError<E> {
    /// Its own reason.
    Own(E),
    /// Another unit's failure: it can be run again.
    Interrupted,
    /// The database failed.
    Database(DbErr),
}

/// A unit as the code sees it that runs it, which knows nothing of its result.
pub(super) trait Unit: Send {
    fn shape(&self) -> Shape;

    /// How long it may take.
    fn limit(&self) -> Duration;

    /// Whether its caller still waits for it.
    fn is_wanted(&self) -> bool;

    /// Runs it, and says whether it is to be committed.
    fn run<'u>(&'u mut self, transaction: &'u Transaction) -> BoxFuture<'u, bool>;

    /// Tells the caller.
    fn finish(self: Box<Self>, outcome: Outcome);
}

/// The caller's end of a unit.
pub(super) type Answer<T, E> = oneshot::Receiver<Result<T, UnitError<E>>>;

/// A unit, and what it brought so far.
pub(super) struct PendingUnit<F, T, E> {
    shape: Shape,
    limit: Duration,
    work: Arc<F>,
    brought: Option<Result<T, E>>,
    answer: oneshot::Sender<Result<T, UnitError<E>>>,
}

impl<F, T, E> PendingUnit<F, T, E> {
    pub(super) fn new(shape: Shape, limit: Duration, work: Arc<F>) -> (Box<Self>, Answer<T, E>) {
        let (answer, answered) = oneshot::channel();
        let unit = Self {
            shape,
            limit,
            work,
            brought: None,
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
            let brought = (self.work)(transaction).await;
            self.brought.insert(brought).is_ok()
        })
    }

    fn finish(self: Box<Self>, outcome: Outcome) {
        let missing = || UnitError::Database(internal("the unit of work brought nothing"));
        let answer = match (outcome, self.brought) {
            (Outcome::Failed(error), _) => Err(UnitError::Database(error)),
            (Outcome::Interrupted, _) => Err(UnitError::Interrupted),
            (Outcome::Committed, Some(Ok(value))) => Ok(value),
            (_, Some(Err(error))) => Err(UnitError::Own(error)),
            (Outcome::Committed | Outcome::RolledBack, _) => Err(missing()),
        };
        // Fails where the caller has gone away.
        let _ = self.answer.send(answer);
    }
}

/// The result of running a unit, before anything is committed.
#[derive(Debug)]
pub(super) enum Ran {
    /// It is to be committed.
    Done,
    /// It failed for its own reason, with the error of the first of its statements that did.
    Undone(Option<DbErr>),
    /// It did not come to its end: nothing is known of the connection.
    Broken(DbErr),
}

/// Runs a unit within its limit. A panic ends the unit alone.
pub(super) async fn run(unit: &mut dyn Unit, transaction: &Transaction) -> Ran {
    let limit = unit.limit();
    let running = AssertUnwindSafe(unit.run(transaction)).catch_unwind();
    match timeout(limit, running).await {
        Ok(Ok(is_done)) => match transaction.take_failure() {
            None if is_done => Ran::Done,
            // A unit that passes over a failed statement is not committed either.
            Some(error) if is_done => Ran::Broken(error),
            failure => Ran::Undone(failure),
        },
        Ok(Err(panic)) => Ran::Broken(panicked(&*panic)),
        Err(_) => Ran::Broken(too_slow(limit)),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> DbErr {
    let message = media_telemetry::panic_message(panic);
    tracing::error!(message, "a unit of work panicked");
    // A defect, unlike the errors of this module that say that a connection failed.
    DbErr::Custom("a unit of work panicked".to_owned())
}

/// The error of a unit that was ended at its limit.
pub(super) fn too_slow(limit: Duration) -> DbErr {
    tracing::warn!(?limit, "a unit of work was ended at its limit");
    DbErr::ConnectionAcquire(ConnAcquireErr::Timeout)
}
