//! SQLite's writers, several to a commit. Each commit waits for the disk, and there is one at a time: what
//! is written while one is under way shares the next.
//!
//! A unit of work runs in a transaction that the units beside it share, in a savepoint if it has several
//! statements and is not the first. Whoever finishes last commits; nobody hears of a success before that.
//! A unit that fails takes its own writes back and no others'. A statement that nobody is beside commits
//! itself: each call of SQLite is a message to its thread and back.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sea_orm::{
    DatabaseConnection, DatabaseExecutor, DatabaseTransaction, DbErr, RuntimeErr,
    SqliteTransactionMode, TransactionOptions, TransactionTrait,
};
use tokio::{
    sync::{Mutex, MutexGuard, watch},
    time::timeout,
};

use super::InTransaction;

/// The most units of one commit.
const MAX_UNITS: usize = 64;
/// How long a unit waits for those that were to follow it; one may have been given up.
const STRAGGLE: Duration = Duration::from_millis(2);

/// The writers of one file.
#[derive(Debug)]
pub(super) struct GroupCommit {
    connection: DatabaseConnection,
    open: Mutex<Option<Group>>,
    /// How many wait for their turn.
    queued: AtomicUsize,
    commits: Commits,
}

/// How many times something may have been committed. Counted before anybody hears of it.
#[derive(Clone, Debug, Default)]
struct Commits(Arc<AtomicU64>);

/// Counts one, whatever becomes of it and of who waits for it.
struct Counted<'c>(&'c Commits);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// What a unit is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    /// One statement, which SQLite takes back itself if it fails (“Transactions”, §2.2).
    Statement,
    /// Several, in a savepoint.
    Several,
}

/// Units that will be committed together.
#[derive(Debug)]
struct Group {
    transaction: DatabaseTransaction,
    units: usize,
    /// What becomes of them, once that is known.
    outcome: watch::Sender<Option<Result<(), DbErr>>>,
}

type Outcome = watch::Receiver<Option<Result<(), DbErr>>>;

/// A unit that waits for its turn.
struct Queued<'g>(&'g AtomicUsize);

impl<'g> Queued<'g> {
    fn enter(queued: &'g AtomicUsize) -> Self {
        queued.fetch_add(1, Ordering::AcqRel);
        Self(queued)
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

impl GroupCommit {
    pub(super) fn new(connection: DatabaseConnection) -> Self {
        Self {
            connection,
            open: Mutex::new(None),
            queued: AtomicUsize::new(0),
            commits: Commits::default(),
        }
    }

    /// How many commits were made so far. What is read after this sees them all.
    pub(super) fn commits(&self) -> u64 {
        self.commits.0.load(Ordering::Acquire)
    }

    /// Runs a single statement, and returns once it is committed.
    pub(super) async fn statement<T, E: From<DbErr>>(
        &self,
        work: impl for<'t> Fn(DatabaseExecutor<'t>) -> InTransaction<'t, T, E>,
    ) -> Result<T, E> {
        let open = self.turn().await;
        if open.is_none() && self.queued.load(Ordering::Acquire) == 0 {
            let _counted = Counted(&self.commits);
            return work((&self.connection).into()).await;
        }
        self.in_group(open, Unit::Statement, |unit| work(unit.into()))
            .await
    }

    /// Runs a unit of several statements, and returns once it is committed. One whose caller goes away
    /// while it waits for that may be committed all the same.
    pub(super) async fn several<T, E: From<DbErr>>(
        &self,
        work: impl for<'t> Fn(&'t DatabaseTransaction) -> InTransaction<'t, T, E>,
    ) -> Result<T, E> {
        let open = self.turn().await;
        self.in_group(open, Unit::Several, work).await
    }

    async fn turn(&self) -> MutexGuard<'_, Option<Group>> {
        let _queued = Queued::enter(&self.queued);
        self.open.lock().await
    }

    async fn in_group<T, E: From<DbErr>>(
        &self,
        mut open: MutexGuard<'_, Option<Group>>,
        unit: Unit,
        work: impl for<'t> Fn(&'t DatabaseTransaction) -> InTransaction<'t, T, E>,
    ) -> Result<T, E> {
        let group = match &mut *open {
            Some(group) => group,
            none => none.insert(Group::begin(&self.connection).await?),
        };
        let outcome = group.outcome.subscribe();
        let done = group.run(unit, work).await;
        let broken = match &done {
            // Nobody knows what of it would be committed.
            Err(Failed::Group(error)) => Some(error.clone()),
            // Nothing else is in it.
            Err(Failed::First(_)) => Some(unknown()),
            Ok(_) | Err(Failed::Unit(_)) => None,
        };
        if let Some(error) = broken {
            if let Some(group) = open.take() {
                group.give_up(error).await;
            }
        } else if group.units >= MAX_UNITS || self.queued.load(Ordering::Acquire) == 0 {
            self.commit(open.take());
        }
        drop(open);
        match done {
            Ok(value) => {
                self.committed(outcome).await?;
                Ok(value)
            }
            Err(Failed::Unit(error) | Failed::First(error)) => Err(error),
            Err(Failed::Group(error)) => Err(error.into()),
        }
    }

    async fn committed(&self, mut outcome: Outcome) -> Result<(), DbErr> {
        loop {
            match timeout(STRAGGLE, outcome.wait_for(Option::is_some)).await {
                Ok(Ok(known)) => return known.clone().unwrap_or_else(|| Err(unknown())),
                Ok(Err(_)) => return Err(unknown()),
                Err(_) => {}
            }
            self.commit_stragglers(&outcome);
        }
    }

    /// Commits in a task of its own, so that no unit that goes away takes the others with it. Closing the
    /// connection waits for it.
    fn commit(&self, group: Option<Group>) {
        let Some(group) = group else {
            return;
        };
        let commits = self.commits.clone();
        tokio::spawn(async move {
            let counted = Counted(&commits);
            let committed = group.transaction.commit().await;
            drop(counted);
            group.outcome.send_replace(Some(committed));
        });
    }

    /// Commits the group that an outcome belongs to, if all that were to follow have gone away.
    fn commit_stragglers(&self, outcome: &Outcome) {
        // Otherwise somebody is at work, and sees to it.
        let Ok(mut open) = self.open.try_lock() else {
            return;
        };
        let is_ours = |group: &mut Group| outcome.same_channel(&group.outcome.subscribe());
        if self.queued.load(Ordering::Acquire) == 0 {
            self.commit(open.take_if(is_ours));
        }
    }
}

/// Why a unit was not done.
enum Failed<E> {
    /// For a reason of its own; its writes are taken back.
    Unit(E),
    /// The same, but they are taken back with the transaction, in which there is nothing else.
    First(E),
    /// The connection failed, and all that was to be committed with it.
    Group(DbErr),
}

impl Group {
    async fn begin(connection: &DatabaseConnection) -> Result<Self, DbErr> {
        // Immediate: a deferred transaction that reads before it writes fails at once, whatever the busy
        // timeout, if another connection wrote in between.
        let options = TransactionOptions {
            sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
            ..Default::default()
        };
        Ok(Self {
            transaction: connection.begin_with_options(options).await?,
            units: 0,
            outcome: watch::Sender::new(None),
        })
    }

    async fn run<T, E>(
        &mut self,
        unit: Unit,
        work: impl for<'t> Fn(&'t DatabaseTransaction) -> InTransaction<'t, T, E>,
    ) -> Result<T, Failed<E>> {
        self.units += 1;
        if unit == Unit::Statement {
            return work(&self.transaction).await.map_err(Failed::Unit);
        }
        if self.units == 1 {
            return work(&self.transaction).await.map_err(Failed::First);
        }
        let unit = self.transaction.begin().await.map_err(Failed::Group)?;
        match work(&unit).await {
            Ok(value) => {
                unit.commit().await.map_err(Failed::Group)?;
                Ok(value)
            }
            Err(error) => {
                unit.rollback().await.map_err(Failed::Group)?;
                Err(Failed::Unit(error))
            }
        }
    }

    async fn give_up(self, error: DbErr) {
        // What is left of it goes with the connection.
        let _ = self.transaction.rollback().await;
        self.outcome.send_replace(Some(Err(error)));
    }
}

fn unknown() -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(
        "the commit was broken off; it is not known whether it was made".to_owned(),
    ))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{config::DatabaseUrl, database::Database};
    use futures_util::future::join_all;
    use sea_orm::{ConnectionTrait as _, Statement};

    async fn database() -> (tempfile::TempDir, Database) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        let database = Database::connect(&DatabaseUrl::Sqlite { path }, 1).await;
        let database = database.unwrap();
        let table = "CREATE TABLE numbers (number integer PRIMARY KEY)";
        database.writer().execute_unprepared(table).await.unwrap();
        (directory, database)
    }

    fn insert(
        number: u32,
    ) -> impl for<'t> Fn(&'t DatabaseTransaction) -> InTransaction<'t, (), DbErr> {
        move |transaction| {
            let sql = format!("INSERT INTO numbers VALUES ({number})");
            Box::pin(async move { transaction.execute_unprepared(&sql).await.map(drop) })
        }
    }

    fn insert_alone(
        number: u32,
    ) -> impl for<'t> Fn(DatabaseExecutor<'t>) -> InTransaction<'t, (), DbErr> {
        move |database| {
            let sql = format!("INSERT INTO numbers VALUES ({number})");
            Box::pin(async move { database.execute_unprepared(&sql).await.map(drop) })
        }
    }

    async fn count(database: &Database) -> i64 {
        let sql = "SELECT count(*) FROM numbers";
        let statement = Statement::from_string(database.backend(), sql);
        let row = database.reader().query_one_raw(statement).await.unwrap();
        row.unwrap().try_get_by_index(0).unwrap()
    }

    #[tokio::test]
    async fn what_is_done_is_committed_and_what_fails_takes_nothing_along() {
        let (_directory, database) = database().await;
        let group = GroupCommit::new(database.writer().clone());
        // Each number twice: the second of each fails.
        let kind = |number| match number % 4 {
            0 | 3 => Unit::Statement,
            _ => Unit::Several,
        };
        let units = (0..100).map(async |number| match kind(number) {
            Unit::Statement => group.statement(insert_alone(number / 2)).await,
            Unit::Several => group.several(insert(number / 2)).await,
        });
        let results = join_all(units).await;
        assert_eq!(results.iter().filter(|result| result.is_ok()).count(), 50);
        assert_eq!(count(&database).await, 50);
        assert!(group.open.lock().await.is_none());
        // One alone is committed at once, and seen by others.
        group.several(insert(1000)).await.unwrap();
        group.statement(insert_alone(1001)).await.unwrap();
        assert_eq!(count(&database).await, 52);
        // And what it has written is taken back if it fails.
        let half = group.several(|transaction| {
            Box::pin(async move {
                let sql = "INSERT INTO numbers VALUES (1002)";
                transaction.execute_unprepared(sql).await?;
                insert(1000)(transaction).await
            })
        });
        half.await.unwrap_err();
        group.statement(insert_alone(1000)).await.unwrap_err();
        assert_eq!(count(&database).await, 52);
    }

    #[tokio::test]
    async fn a_unit_that_goes_away_holds_nobody_up() {
        let (_directory, database) = database().await;
        let group = Arc::new(GroupCommit::new(database.writer().clone()));
        for number in 0..50 {
            // Some are given up while they wait, some while they run.
            let given_up = timeout(
                Duration::from_micros(number * 20),
                group.several(insert(2000)),
            );
            let kept = group.several(insert(u32::try_from(number).unwrap()));
            let (_, kept) = tokio::join!(given_up, kept);
            kept.unwrap();
            let remove = "DELETE FROM numbers WHERE number = 2000";
            database.writer().execute_unprepared(remove).await.unwrap();
        }
        assert_eq!(count(&database).await, 50);
    }
}
