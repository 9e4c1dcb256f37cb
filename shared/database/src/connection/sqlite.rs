//! Writing to SQLite, which allows one writer at a time: one task owns the connection, takes units of work from a queue
//! and commits the waiting ones together, since each commit waits for the disk.
//!
//! The statements `BEGIN`, `SAVEPOINT`, `RELEASE` and `COMMIT` are sent explicitly, so that SQLite refuses them in an
//! unexpected state: a `COMMIT` without a transaction is an error. After any error outside a unit's own work, the
//! connection is closed, which rolls back, and another one is opened.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use sea_orm::{
    ConnectOptions, DatabaseBackend, DbErr, RuntimeErr, SqlErr, Statement,
    sqlx::{
        ConnectOptions as _, Connection as _,
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};
use tokio::{
    sync::mpsc::{self, error::SendTimeoutError},
    time::timeout,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    UNIT_TIMEOUT,
    transaction::{Session, Transaction, internal},
    unit_of_work::{self, Outcome, RunResult, Shape, Unit},
};
use crate::ACQUIRE_TIMEOUT;

/// The maximum number of units in one commit.
const MAX_GROUP_UNITS: usize = 64;
/// The maximum number of queued units. Further callers wait for a free place in the queue.
const MAX_QUEUED_UNITS: usize = 1024;
/// The page cache of one connection: 8 MiB, as a negative number of KiB.
const CACHE_SIZE_KIB: &str = "-8192";
/// The maximum number of connections for reading.
const MAX_READERS: u32 = 8;

/// A handle of the task that writes.
#[derive(Clone, Debug)]
pub(super) struct SqliteWriter {
    queue: mpsc::Sender<Box<dyn Unit>>,
    commits: Arc<AtomicU64>,
    end: CancellationToken,
    task: TaskTracker,
}

impl SqliteWriter {
    /// Opens the file, creating it if necessary, and starts the task.
    pub(super) async fn start(path: &Path) -> Result<Self, DbErr> {
        let (queue, units) = mpsc::channel(MAX_QUEUED_UNITS);
        let writer = Self {
            queue,
            commits: Arc::default(),
            end: CancellationToken::new(),
            task: TaskTracker::new(),
        };
        let mut task = WriterTask {
            options: file_options(path),
            session: None,
            units,
            commits: Arc::clone(&writer.commits),
        };
        // The first connection enables the write-ahead log, before any reader connects.
        task.session = Some(task.connect().await?);
        writer.task.spawn(task.run(writer.end.clone()));
        Ok(writer)
    }

    /// Queues a unit. Fails if the queue stays full for [`ACQUIRE_TIMEOUT`].
    pub(super) async fn submit(&self, unit: Box<dyn Unit>) -> Result<(), DbErr> {
        let sent = self.queue.send_timeout(unit, ACQUIRE_TIMEOUT).await;
        sent.map_err(|error| match error {
            SendTimeoutError::Timeout(unit) => unit_of_work::timed_out(unit.limit()),
            SendTimeoutError::Closed(_) => closed(),
        })
    }

    /// The number of attempted commits. It is incremented before the callers are notified: if it has not changed, rows
    /// that were read since are unchanged, too.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// Waits for the queued units and closes the file.
    pub(super) async fn close(&self) {
        self.end.cancel();
        self.task.close();
        self.task.wait().await;
    }
}

struct WriterTask {
    options: SqliteConnectOptions,
    /// The connection, outside a transaction. None after a failure.
    session: Option<Session>,
    units: mpsc::Receiver<Box<dyn Unit>>,
    commits: Arc<AtomicU64>,
}

impl WriterTask {
    async fn run(mut self, end: CancellationToken) {
        loop {
            let next = tokio::select! {
                biased;
                next = self.units.recv() => next,
                () = end.cancelled() => {
                    self.units.close();
                    self.units.recv().await
                }
            };
            match next {
                Some(unit) => self.commit_group(unit).await,
                None => break,
            }
        }
        if let Some(connection) = self.session.and_then(Session::into_sqlite) {
            // All units are committed, so a failure to close has no effect.
            let _ = connection.close().await;
        }
    }

    async fn connect(&self) -> Result<Session, DbErr> {
        let connection = self.options.connect().await;
        connection
            .map(Session::sqlite)
            .map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))))
    }

    /// Runs a unit and all units that are queued when it has completed, and commits them together.
    async fn commit_group(&mut self, first: Box<dyn Unit>) {
        let transaction = match self.begin().await {
            Ok(transaction) => transaction,
            Err(error) => return first.finish(Outcome::Failed(error)),
        };
        let mut done = Vec::new();
        let mut next = Some(first);
        let mut taken = 0;
        while let Some(mut unit) = next.take() {
            if unit.is_wanted() {
                match run_in_group(&mut *unit, &transaction).await {
                    GroupResult::Completed => done.push(unit),
                    GroupResult::RolledBack => unit.finish(Outcome::RolledBack),
                    GroupResult::Broken(outcome) => {
                        // Dropping the transaction closes the connection, which rolls back all units.
                        drop(transaction);
                        unit.finish(outcome);
                        for unit in done {
                            unit.finish(Outcome::Interrupted);
                        }
                        return;
                    }
                }
            }
            taken += 1;
            if taken < MAX_GROUP_UNITS {
                next = self.units.try_recv().ok();
            }
        }
        self.commit(transaction, done).await;
    }

    /// Begins a transaction, on a new connection if the last one failed.
    async fn begin(&mut self) -> Result<Transaction, DbErr> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.connect().await?,
        };
        let transaction = Transaction::new(DatabaseBackend::Sqlite, session);
        // A deferred transaction that reads before it writes would fail immediately, in spite of the busy timeout, if
        // another connection wrote in between. SQLite refuses this statement within a transaction.
        with_timeout(transaction.command("BEGIN IMMEDIATE")).await?;
        Ok(transaction)
    }

    async fn commit(&mut self, transaction: Transaction, done: Vec<Box<dyn Unit>>) {
        let committed = with_timeout(transaction.command("COMMIT")).await;
        self.commits.fetch_add(1, Ordering::AcqRel);
        if committed.is_ok() {
            self.session = transaction.into_session();
        }
        for unit in done {
            unit.finish(match &committed {
                Ok(()) => Outcome::Committed,
                Err(error) => Outcome::Failed(error.clone()),
            });
        }
    }
}

/// The result of running a unit in a shared transaction.
enum GroupResult {
    Completed,
    /// Only this unit was rolled back.
    RolledBack,
    /// The whole transaction has to be rolled back.
    Broken(Outcome),
}

async fn run_in_group(unit: &mut dyn Unit, transaction: &Transaction) -> GroupResult {
    let is_nested = unit.shape() == Shape::Transaction;
    if is_nested && let Err(error) = transaction.command("SAVEPOINT unit").await {
        return GroupResult::Broken(Outcome::Failed(error));
    }
    match (unit_of_work::run(unit, transaction).await, is_nested) {
        (RunResult::Completed, false) => GroupResult::Completed,
        (RunResult::Completed, true) => match transaction.command("RELEASE unit").await {
            Ok(()) => GroupResult::Completed,
            Err(error) => GroupResult::Broken(Outcome::Failed(error)),
        },
        (RunResult::RolledBack(_), true) => {
            // Fails if SQLite itself has rolled back the transaction, as it does when the disk is full.
            match transaction.command("ROLLBACK TO unit; RELEASE unit").await {
                Ok(()) => GroupResult::RolledBack,
                Err(_) => GroupResult::Broken(Outcome::RolledBack),
            }
        }
        // If a statement violates a constraint, SQLite reverts only this statement.
        (RunResult::RolledBack(Some(error)), false) if violates_constraint(&error) => {
            GroupResult::RolledBack
        }
        (RunResult::RolledBack(_), false) => GroupResult::Broken(Outcome::RolledBack),
        (RunResult::Broken(error), _) => GroupResult::Broken(Outcome::Failed(error)),
    }
}

fn violates_constraint(error: &DbErr) -> bool {
    matches!(
        error.sql_err(),
        Some(SqlErr::UniqueConstraintViolation(_) | SqlErr::ForeignKeyConstraintViolation(_))
    )
}

async fn with_timeout(command: impl Future<Output = Result<(), DbErr>>) -> Result<(), DbErr> {
    timeout(UNIT_TIMEOUT, command)
        .await
        .unwrap_or_else(|_| Err(unit_of_work::timed_out(UNIT_TIMEOUT)))
}

pub(super) fn closed() -> DbErr {
    internal("the database was closed")
}

/// A statement that writes without changing anything. It fails if the disk is full or the file is not writable.
pub(super) fn write_check() -> Statement {
    Statement::from_string(DatabaseBackend::Sqlite, "PRAGMA user_version = 0")
}

/// Opens the read-only connections.
pub(super) async fn readers(path: &Path) -> Result<sea_orm::DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(format!("sqlite://{}", path.display()));
    let file = file_options(path).pragma("query_only", "ON");
    options
        .max_connections(MAX_READERS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |_| file.clone());
    sea_orm::Database::connect(options).await
}

/// Opens a separate connection that reads and writes.
pub(super) async fn direct(path: &Path) -> Result<sea_orm::DatabaseConnection, DbErr> {
    let mut options = ConnectOptions::new(format!("sqlite://{}", path.display()));
    let file = file_options(path);
    options
        .max_connections(1)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |_| file.clone());
    sea_orm::Database::connect(options).await
}

fn file_options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // A committed job must survive a power failure.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(ACQUIRE_TIMEOUT)
        .pragma("cache_size", CACHE_SIZE_KIB)
        .disable_statement_logging()
}
