//! Writing to SQLite, which takes one writer at a time: one task owns the connection, takes units of work
//! from a queue, and commits those together that wait at the same time, since each commit waits for the
//! disk.
//!
//! The statements `BEGIN`, `SAVEPOINT`, `RELEASE` and `COMMIT` are sent as such, so that SQLite itself
//! refuses them where its state is not the expected one: a `COMMIT` without a transaction is an error. After
//! any error that is not a unit's own, the connection is closed, which rolls back, and another is opened.

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
    UNIT_LIMIT,
    transaction::{Session, Transaction, internal},
    unit_of_work::{self, Outcome, Ran, Shape, Unit},
};
use crate::ACQUIRE_TIMEOUT;

/// The most units of one commit.
const MAX_GROUP_UNITS: usize = 64;
/// The most units that wait. More callers than that wait for a place in the queue.
const QUEUE_LENGTH: usize = 1024;
/// Memory that one connection uses for pages of the file: 8 MiB, which SQLite takes as a negative number
/// of KiB.
const CACHE_SIZE: &str = "-8192";
/// Connections that read.
const MAX_READERS: u32 = 8;

/// The queue of the task that writes.
#[derive(Clone, Debug)]
pub(super) struct SqliteWriter {
    queue: mpsc::Sender<Box<dyn Unit>>,
    commits: Arc<AtomicU64>,
    end: CancellationToken,
    task: TaskTracker,
}

impl SqliteWriter {
    /// Opens the file, creates it if it is not there, and begins to take units.
    pub(super) async fn start(path: &Path) -> Result<Self, DbErr> {
        let (queue, units) = mpsc::channel(QUEUE_LENGTH);
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
        // Turns on the write-ahead log, before any reader comes.
        task.session = Some(task.connect().await?);
        writer.task.spawn(task.run(writer.end.clone()));
        Ok(writer)
    }

    /// Queues a unit. Fails if there is no place in the queue for [`ACQUIRE_TIMEOUT`].
    pub(super) async fn submit(&self, unit: Box<dyn Unit>) -> Result<(), DbErr> {
        let sent = self.queue.send_timeout(unit, ACQUIRE_TIMEOUT).await;
        sent.map_err(|error| match error {
            SendTimeoutError::Timeout(unit) => unit_of_work::too_slow(unit.limit()),
            SendTimeoutError::Closed(_) => closed(),
        })
    }

    /// How many commits were tried so far. Counted before any caller hears of one: if the number has not
    /// changed, nothing that was read since can have changed either.
    pub(super) fn commits(&self) -> u64 {
        self.commits.load(Ordering::Acquire)
    }

    /// Waits for the units that are queued now, and closes the file.
    pub(super) async fn close(&self) {
        self.end.cancel();
        self.task.close();
        self.task.wait().await;
    }
}

struct WriterTask {
    options: SqliteConnectOptions,
    /// Not in a transaction. None after a failure.
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
            // Nothing is left to be written; a failure changes nothing.
            let _ = connection.close().await;
        }
    }

    async fn connect(&self) -> Result<Session, DbErr> {
        let connection = self.options.connect().await;
        connection
            .map(Session::sqlite)
            .map_err(|error| DbErr::Conn(RuntimeErr::SqlxError(Arc::new(error))))
    }

    /// Runs a unit, and all that wait by the time it is done, and commits them together.
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
                    InGroup::Done => done.push(unit),
                    InGroup::Undone => unit.finish(Outcome::RolledBack),
                    InGroup::Broken(outcome) => {
                        // Closes the connection, which rolls everything back.
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

    /// Begins a transaction, on another connection if there is none in a known state.
    async fn begin(&mut self) -> Result<Transaction, DbErr> {
        let session = match self.session.take() {
            Some(session) => session,
            None => self.connect().await?,
        };
        let transaction = Transaction::new(DatabaseBackend::Sqlite, session);
        // Immediate: a deferred transaction that reads before it writes fails at once, whatever the busy
        // timeout, if another connection wrote in between. Refused within a transaction.
        in_time(transaction.command("BEGIN IMMEDIATE")).await?;
        Ok(transaction)
    }

    async fn commit(&mut self, transaction: Transaction, done: Vec<Box<dyn Unit>>) {
        let committed = in_time(transaction.command("COMMIT")).await;
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

/// The state of a unit in a transaction that it shares.
enum InGroup {
    Done,
    /// It is rolled back, alone.
    Undone,
    /// The whole transaction is to be rolled back.
    Broken(Outcome),
}

async fn run_in_group(unit: &mut dyn Unit, transaction: &Transaction) -> InGroup {
    let is_nested = unit.shape() == Shape::Transaction;
    if is_nested && let Err(error) = transaction.command("SAVEPOINT unit").await {
        return InGroup::Broken(Outcome::Failed(error));
    }
    match (unit_of_work::run(unit, transaction).await, is_nested) {
        (Ran::Done, false) => InGroup::Done,
        (Ran::Done, true) => match transaction.command("RELEASE unit").await {
            Ok(()) => InGroup::Done,
            Err(error) => InGroup::Broken(Outcome::Failed(error)),
        },
        (Ran::Undone(_), true) => {
            // Fails if SQLite has rolled everything back by itself, as it does on a full disk.
            match transaction.command("ROLLBACK TO unit; RELEASE unit").await {
                Ok(()) => InGroup::Undone,
                Err(_) => InGroup::Broken(Outcome::RolledBack),
            }
        }
        // SQLite takes back a single statement that breaks a constraint, and nothing else.
        (Ran::Undone(Some(error)), false) if breaks_constraint(&error) => InGroup::Undone,
        (Ran::Undone(_), false) => InGroup::Broken(Outcome::RolledBack),
        (Ran::Broken(error), _) => InGroup::Broken(Outcome::Failed(error)),
    }
}

fn breaks_constraint(error: &DbErr) -> bool {
    matches!(
        error.sql_err(),
        Some(SqlErr::UniqueConstraintViolation(_) | SqlErr::ForeignKeyConstraintViolation(_))
    )
}

async fn in_time(command: impl Future<Output = Result<(), DbErr>>) -> Result<(), DbErr> {
    timeout(UNIT_LIMIT, command)
        .await
        .unwrap_or_else(|_| Err(unit_of_work::too_slow(UNIT_LIMIT)))
}

pub(super) fn closed() -> DbErr {
    internal("the database was closed")
}

/// A write that changes nothing, to learn whether there is room and the file can be written.
pub(super) fn probe() -> Statement {
    Statement::from_string(DatabaseBackend::Sqlite, "PRAGMA user_version = 0")
}

/// Connections that read the file, and cannot write.
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

/// One connection of its own that reads and writes.
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
        // An accepted job survives a power cut, too.
        .synchronous(SqliteSynchronous::Full)
        .busy_timeout(ACQUIRE_TIMEOUT)
        .pragma("cache_size", CACHE_SIZE)
        .disable_statement_logging()
}
