//! The connection to the tables: SQLite or PostgreSQL behind one type.
//!
//! All writes are units of work: one statement ([`Database::write`], [`Database::write_returning`]) or
//! several in a transaction ([`Database::transaction`]). Nothing else begins a transaction; clippy refuses
//! the drivers' methods for that.

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

/// The longest that a unit of work may run, unless it is given another limit by [`Database::within`].
const UNIT_LIMIT: Duration = Duration::from_secs(30);
/// The number of times that a transaction is tried which loses a race each time.
const MAX_TRANSACTION_TRIES: u32 = 5;

/// The database. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Database {
    engine: Engine,
    reader: Reader,
    /// Units of work on PostgreSQL, and batches.
    tasks: TaskTracker,
    unit_limit: Duration,
    /// Whether the callers run in tasks that nobody drops, so that units need none of their own.
    in_own_task: bool,
}

#[derive(Clone, Debug)]
enum Engine {
    /// One process per file, which the lock sees to: caches and quotas rely on it.
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

/// How a pool of connections is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Open, and free.
    pub idle: u64,
    /// In use.
    pub used: u64,
    /// The limit.
    pub max: u64,
}

impl Database {
    /// Connects, creating the SQLite file (not the tables) if it is not there. PostgreSQL gets at most
    /// `connections`. Fails if another process uses the SQLite file.
    pub async fn connect(url: &DatabaseUrl, connections: u32) -> Result<Self, DbErr> {
        match url {
            DatabaseUrl::Sqlite { path } => {
                let lock = match FileLock::try_acquire(&FileLock::beside(path)) {
                    Ok(Locking::Acquired(lock)) => lock,
                    Ok(Locking::HeldBy(holder)) => return Err(DbErr::Custom(in_use(path, holder))),
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

    /// Connects like [`Database::connect`], with the lock on the SQLite file that the caller has already.
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
            unit_limit: UNIT_LIMIT,
            in_own_task: false,
        }
    }

    /// The same database, with another limit for each unit of work.
    #[must_use]
    pub fn within(&self, unit_limit: Duration) -> Self {
        Self {
            unit_limit,
            ..self.clone()
        }
    }

    /// The same database, for a caller that runs in a task which nobody drops: units of work run in it, which
    /// saves a change of tasks for each.
    fn in_own_task(&self) -> Self {
        Self {
            in_own_task: true,
            ..self.clone()
        }
    }

    /// Has connections that are opened from now on use the URL as it is now: its password may have been replaced.
    pub fn renew_url(&self) -> Result<(), DbErr> {
        match &self.engine {
            Engine::Postgres { url, pool } => pool.set_url(&url.expose()),
            Engine::Sqlite { .. } => Ok(()),
        }
    }

    /// Whether a pooler gives each transaction another connection.
    pub fn is_behind_pooler(&self) -> bool {
        matches!(&self.engine, Engine::Postgres { pool, .. } if !pool.keeps_sessions())
    }

    /// For statements that only read.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// Which database this is.
    pub fn backend(&self) -> DatabaseBackend {
        self.reader.get_database_backend()
    }

    /// How the pool of connections is used; unknown for SQLite, whose connections are files.
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

    /// The number of commits that were tried so far, on SQLite: as long as it stays, rows that were read
    /// after it are current. Unknown on PostgreSQL, where other processes write as well.
    pub(crate) fn commits(&self) -> Option<u64> {
        match &self.engine {
            Engine::Sqlite { writer, .. } => Some(writer.commits()),
            Engine::Postgres { .. } => None,
        }
    }

    /// Runs one statement that writes, and returns the number of rows it wrote once it is committed.
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

    /// Runs a statement made by SeaORM like [`Database::write`].
    pub async fn write_query(&self, query: &impl QueryTrait) -> Result<u64, DbErr> {
        self.write(query.build(self.backend())).await
    }

    /// Runs one statement that writes, and returns its rows once it is committed.
    pub async fn write_returning(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.run(Shape::Statement, move |transaction| {
            let statement = statement.clone();
            Box::pin(async move { transaction.query_all_raw(statement).await })
        })
        .await
    }

    /// Runs one statement that writes, given as SQL that both databases take.
    pub async fn write_sql(
        &self,
        sql: impl Into<String>,
        values: impl IntoIterator<Item = Value>,
    ) -> Result<u64, DbErr> {
        self.write(Statement::from_sql_and_values(self.backend(), sql, values))
            .await
    }

    /// Runs `work` in a transaction and commits it; an error rolls it back. A transaction that loses a race
    /// (two inserts of one key, a deadlock, a busy file) starts over a few times, so `work` must have no
    /// effect but on the database. Once begun, it runs to its end whether or not the caller waits.
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
        let mut tries = 1;
        loop {
            let (unit, answer) = PendingUnit::new(shape, self.unit_limit, Arc::clone(&work));
            self.submit(unit).await?;
            let may_retry = tries < MAX_TRANSACTION_TRIES;
            tries += 1;
            match answer.await {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(UnitError::Own(error)))
                    if may_retry && shape == Shape::Transaction && error.lost_race() => {}
                Ok(Err(UnitError::Own(error))) => return Err(error),
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

    /// Whether the database takes writes now.
    pub async fn check_writable(&self) -> Result<(), DbErr> {
        match &self.engine {
            Engine::Sqlite { .. } => self.write(sqlite::probe()).await.map(drop),
            Engine::Postgres { pool, .. } => pool.check_writable(&self.reader).await,
        }
    }

    /// Opens a connection of its own that reads and writes outside units of work, for migrations, which
    /// make their own transactions. To be closed by the caller.
    pub async fn direct_connection(&self) -> Result<DatabaseConnection, DbErr> {
        match &self.engine {
            Engine::Sqlite { path, .. } => sqlite::direct(path).await,
            Engine::Postgres { url, pool } => pool.direct(&url.expose()).await,
        }
    }

    /// Waits for the units of work that have begun or wait, and closes the connections.
    pub async fn close(self) -> Result<(), DbErr> {
        self.tasks.close();
        self.tasks.wait().await;
        if let Engine::Sqlite { writer, .. } = &self.engine {
            writer.close().await;
        }
        self.reader.close().await
    }
}

fn in_use(path: &Path, holder: Option<String>) -> String {
    let holder = holder.map(|url| format!(" (at {url})")).unwrap_or_default();
    format!(
        "another program uses {}{holder}; SQLite files are for one program: stop it first, use `media`, \
         which serves and imports in one, or PostgreSQL for several",
        path.display()
    )
}

fn interrupted() -> DbErr {
    transaction::internal("the connection failed again and again; nothing was written")
}

#[cfg(test)]
mod tests;
