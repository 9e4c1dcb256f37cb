//! The database connection: SQLite or PostgreSQL behind one type.
//!
//! All writes are units of work: one statement ([`Database::write`], [`Database::write_returning`]) or several in a
//! transaction ([`Database::transaction`]). No other code begins a transaction; clippy forbids the drivers' methods for
//! it.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use media_migrations::file_lock::{FileLock, Locking};
use sea_orm::{
    ConnectionTrait as _, DatabaseBackend, DatabaseConnection, DbErr, QueryResult, QueryTrait,
    Statement, Value,
};
use tokio_util::task::TaskTracker;

use crate::{DatabaseUrl, Pooler};
use media_domain::secret::Secret;

mod batches;
mod demotion;
mod failure;
mod postgres;
mod reader;
mod sqlite;
mod transaction;
mod unit_of_work;

pub(crate) use batches::Batches;
pub use failure::{DatabaseFailure, LostRace, classify, is_unavailable};
pub use reader::Reader;
use sqlite::SqliteWriter;
pub use transaction::Transaction;
pub use unit_of_work::InTransaction;
use unit_of_work::{PendingUnit, Shape, Unit, UnitError};

/// The default time limit of a unit of work. [`Database::within`] overrides it.
const UNIT_TIMEOUT: Duration = Duration::from_secs(30);
/// The maximum number of attempts of a transaction that is rolled back by a conflict each time.
const MAX_TRANSACTION_ATTEMPTS: u32 = 5;

/// The database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    engine: Engine,
    reader: Reader,
    /// The tasks of batches, and of units of work on PostgreSQL.
    tasks: TaskTracker,
    unit_limit: Duration,
    /// Whether callers run in tasks that are never cancelled, so that units of work need no task of their own.
    in_own_task: bool,
}

#[derive(Clone, Debug)]
enum Engine {
    /// The lock ensures that only one process uses the file, which caches and quotas rely on.
    Sqlite {
        path: PathBuf,
        writer: SqliteWriter,
        _lock: FileLock,
    },
    Postgres {
        url: Secret,
        pool: postgres::Pool,
    },
}

/// The usage of a connection pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// The number of open, unused connections.
    pub idle: u64,
    /// The number of connections in use.
    pub used: u64,
    /// The maximum number of connections.
    pub max: u64,
}

impl Database {
    /// Connects to the database. The SQLite file, but not the tables, is created if necessary. The PostgreSQL pool has
    /// at most `connections`. Fails if another process uses the SQLite file.
    pub async fn connect(url: &DatabaseUrl, connections: u32) -> Result<Self, DbErr> {
        match url {
            DatabaseUrl::Sqlite { path } => {
                let lock = match FileLock::try_acquire(&FileLock::beside(path)) {
                    Ok(Locking::Acquired(lock)) => lock,
                    Ok(Locking::HeldBy(holder)) => {
                        return Err(DbErr::Custom(in_use_message(path, holder)));
                    }
                    Err(error) => {
                        return Err(DbErr::Custom(format!(
                            "{} cannot be locked: {error}",
                            path.display()
                        )));
                    }
                };
                Self::open_sqlite(path, lock).await
            }
            DatabaseUrl::Postgres { url, pooler } => {
                Self::open_postgres(url, *pooler, connections).await
            }
        }
    }

    /// Connects like [`Database::connect`], with a lock on the SQLite file that the caller has acquired.
    pub async fn connect_locked(
        url: &DatabaseUrl,
        connections: u32,
        lock: FileLock,
    ) -> Result<Self, DbErr> {
        match url {
            DatabaseUrl::Sqlite { path } => Self::open_sqlite(path, lock).await,
            DatabaseUrl::Postgres { url, pooler } => {
                Self::open_postgres(url, *pooler, connections).await
            }
        }
    }

    async fn open_sqlite(path: &Path, lock: FileLock) -> Result<Self, DbErr> {
        let engine = Engine::Sqlite {
            path: path.to_owned(),
            writer: SqliteWriter::start(path).await?,
            _lock: lock,
        };
        let reader = Reader::direct(sqlite::readers(path).await?);
        Ok(Self::new(engine, reader))
    }

    async fn open_postgres(url: &Secret, pooler: Pooler, connections: u32) -> Result<Self, DbErr> {
        let pool = postgres::Pool::connect(&url.expose(), pooler, connections).await?;
        let engine = Engine::Postgres {
            url: url.clone(),
            pool: pool.clone(),
        };
        Ok(Self::new(engine, Reader::postgres(pool)))
    }

    fn new(engine: Engine, reader: Reader) -> Self {
        Self {
            engine,
            reader,
            tasks: TaskTracker::new(),
            unit_limit: UNIT_TIMEOUT,
            in_own_task: false,
        }
    }

    /// Returns a handle of the same database with another time limit for units of work.
    #[must_use]
    pub fn within(&self, unit_limit: Duration) -> Self {
        Self {
            unit_limit,
            ..self.clone()
        }
    }

    /// Returns a handle of the same database for a caller in a task that is never cancelled. Units of work then run in
    /// that task, which saves a task switch for each.
    fn in_own_task(&self) -> Self {
        Self {
            in_own_task: true,
            ..self.clone()
        }
    }

    /// Reads the URL again, for connections that are opened from now on: its password may have been rotated.
    pub fn renew_url(&self) -> Result<(), DbErr> {
        match &self.engine {
            Engine::Postgres { url, pool } => pool.set_url(&url.expose()),
            Engine::Sqlite { .. } => Ok(()),
        }
    }

    /// Whether a pooler assigns a connection to each transaction.
    pub fn is_behind_pooler(&self) -> bool {
        matches!(&self.engine, Engine::Postgres { pool, .. } if !pool.keeps_sessions())
    }

    /// The connections for statements that only read.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// The kind of database.
    pub fn backend(&self) -> DatabaseBackend {
        self.reader.get_database_backend()
    }

    /// The usage of the connection pool. None for SQLite, whose connections are open files.
    pub fn connections(&self) -> Option<Connections> {
        let Engine::Postgres { pool, .. } = &self.engine else {
            return None;
        };
        let pool = pool.connections();
        let idle = pool.num_idle() as u64;
        Some(Connections {
            idle,
            used: u64::from(pool.size()).saturating_sub(idle),
            max: pool.options().get_max_connections().into(),
        })
    }

    /// The number of attempted commits, on SQLite: rows that were read after it are current until it changes. None on
    /// PostgreSQL, where other processes write as well.
    pub(crate) fn commits(&self) -> Option<u64> {
        match &self.engine {
            Engine::Sqlite { writer, .. } => Some(writer.commits()),
            Engine::Postgres { .. } => None,
        }
    }

    /// Runs one statement that writes, commits it and returns the number of affected rows.
    pub async fn write(&self, statement: Statement) -> Result<u64, DbErr> {
        self.run(Shape::Statement, move |transaction| {
            let statement = statement.clone();
            Box::pin(async move {
                let done = transaction.execute_raw(statement).await?;
                Ok(done.rows_affected())
            })
        })
        .await
    }

    /// Runs a statement built by SeaORM like [`Database::write`].
    pub async fn write_query(&self, query: &impl QueryTrait) -> Result<u64, DbErr> {
        self.write(query.build(self.backend())).await
    }

    /// Runs one statement that writes, commits it and returns its rows.
    pub async fn write_returning(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.run(Shape::Statement, move |transaction| {
            let statement = statement.clone();
            Box::pin(async move { transaction.query_all_raw(statement).await })
        })
        .await
    }

    /// Runs one statement that writes, given as SQL that both databases accept.
    pub async fn write_sql(
        &self,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, DbErr> {
        self.write(Statement::from_sql_and_values(self.backend(), sql, values))
            .await
    }

    /// Runs `work` in a transaction and commits it; an error rolls it back. A transaction that fails because of a
    /// conflict (two inserts of one key, a deadlock, a busy file) is retried a few times, so `work` must have no
    /// effects outside the database. Once begun, it runs to completion even if the caller is cancelled.
    pub async fn transaction<T, E>(
        &self,
        work: impl for<'t> Fn(&'t Transaction) -> InTransaction<'t, T, E> + Send + Sync + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbErr> + LostRace + Send + 'static,
    {
        self.run(Shape::Transaction, work).await
    }

    async fn run<T, E, F>(&self, shape: Shape, work: F) -> Result<T, E>
    where
        F: for<'t> Fn(&'t Transaction) -> InTransaction<'t, T, E> + Send + Sync + 'static,
        T: Send + 'static,
        E: From<DbErr> + LostRace + Send + 'static,
    {
        let work = Arc::new(work);
        let mut attempts = 1;
        loop {
            let (unit, answer) = PendingUnit::new(shape, self.unit_limit, Arc::clone(&work));
            self.submit(unit).await?;
            let may_retry = attempts < MAX_TRANSACTION_ATTEMPTS;
            attempts += 1;
            match answer.await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(UnitError::Work(error)))
                    if may_retry && shape == Shape::Transaction && error.lost_race() => {}
                Ok(Err(UnitError::Work(error))) => return Err(error),
                Ok(Err(UnitError::Interrupted)) if may_retry => {}
                Ok(Err(UnitError::Interrupted)) => return Err(interrupted().into()),
                Ok(Err(UnitError::Database(error))) => return Err(error.into()),
                Err(_) => return Err(sqlite::closed().into()),
            }
        }
    }

    async fn submit(&self, unit: Box<dyn Unit>) -> Result<(), DbErr> {
        match &self.engine {
            Engine::Sqlite { writer, .. } => writer.submit(unit).await,
            Engine::Postgres { pool, .. } => {
                let running = pool.clone().run(unit);
                if self.in_own_task {
                    Box::pin(running).await;
                } else {
                    self.tasks.spawn(running);
                }
                Ok(())
            }
        }
    }

    /// Checks that the database accepts writes now.
    pub async fn check_writable(&self) -> Result<(), DbErr> {
        match &self.engine {
            Engine::Sqlite { .. } => self.write(sqlite::write_check()).await.map(drop),
            Engine::Postgres { pool, .. } => pool.check_writable(&self.reader).await,
        }
    }

    /// Opens a separate connection that reads and writes outside units of work, for migrations, which manage their own
    /// transactions. The caller has to close it.
    pub async fn direct_connection(&self) -> Result<DatabaseConnection, DbErr> {
        match &self.engine {
            Engine::Sqlite { path, .. } => sqlite::direct(path).await,
            Engine::Postgres { url, pool } => pool.direct(&url.expose()).await,
        }
    }

    /// Waits for the units of work that are running or queued, and closes the connections.
    pub async fn close(self) -> Result<(), DbErr> {
        self.tasks.close();
        self.tasks.wait().await;
        if let Engine::Sqlite { writer, .. } = &self.engine {
            writer.close().await;
        }
        self.reader.close().await
    }
}

fn in_use_message(path: &Path, holder: Option<String>) -> String {
    let holder = holder.map(|url| format!(" (at {url})")).unwrap_or_default();
    format!(
        "another program uses {}{holder}, and only one program can use an SQLite file: stop the other one, run \
         `media`, which serves and imports in one process, or use PostgreSQL",
        path.display()
    )
}

fn interrupted() -> DbErr {
    transaction::internal("the connection failed repeatedly; nothing was written")
}

#[cfg(test)]
mod tests;
