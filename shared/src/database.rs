//! The connection to the tables: SQLite or PostgreSQL behind one type.

use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use sea_orm::{
    ConnAcquireErr, ConnectOptions, ConnectionTrait as _, DatabaseBackend, DatabaseConnection,
    DatabaseExecutor, DatabaseTransaction, DbErr, QueryResult, RuntimeErr, Statement,
    TransactionTrait,
    sqlx::{
        self,
        sqlite::{SqliteJournalMode, SqliteSynchronous},
    },
};
use tokio_util::task::TaskTracker;

use crate::config::DatabaseUrl;

mod batches;
mod group_commit;

pub(crate) use batches::Batches;
use group_commit::GroupCommit;

/// How long a statement may wait for a connection, or for SQLite's write lock.
pub(crate) const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long PostgreSQL works on one statement before it gives up.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long PostgreSQL keeps the locks of a transaction whose client is silent: shorter than any
/// lease, so that a dead machine's row locks hold up neither heartbeats nor rescues.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "4s";
/// How long a connection may be unused before it is tested first: when PostgreSQL was restarted, the
/// connections that rested are replaced instead of failing whoever takes them.
const TEST_AFTER: Duration = Duration::from_secs(1);
/// What one connection to SQLite keeps of the file: 8 MiB, which SQLite takes as a negative number of KiB.
const SQLITE_CACHE: &str = "-8192";
/// Readers of SQLite.
const MAX_READERS: u32 = 8;
/// How often a transaction that lost a race is tried again.
const TRANSACTION_TRIES: u32 = 5;

/// The database, as two handles: SQLite takes one writer at a time, so writers queue in a pool of
/// one connection, in the order they came, and readers never wait for them. On PostgreSQL both
/// handles are the same pool.
#[derive(Clone, Debug)]
pub struct Database {
    writer: DatabaseConnection,
    reader: DatabaseConnection,
    /// On SQLite.
    group: Option<Arc<GroupCommit>>,
    /// Statements for several callers that are under way.
    batches: TaskTracker,
}

/// How a pool of connections is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// Open, and free.
    pub idle: u64,
    /// In use.
    pub used: u64,
    /// The most that are opened.
    pub most: u64,
}

/// A future that borrows a transaction for as long as it runs.
pub type InTransaction<'t, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 't>>;

impl Database {
    /// Connects, creating the SQLite file (not the tables) if it is not there. PostgreSQL gets at most
    /// `connections`.
    pub async fn connect(url: &DatabaseUrl, connections: u32) -> Result<Self, DbErr> {
        match url {
            DatabaseUrl::Sqlite { path } => {
                if let Some(parent) = path.parent() {
                    std::fs::create_dir_all(parent)
                        .map_err(|error| DbErr::Custom(format!("{}: {error}", parent.display())))?;
                }
                let url = format!("sqlite://{}?mode=rwc", path.display());
                // The writer first: it turns on the write-ahead log, which no reader may see happen.
                let writer = sea_orm::Database::connect(sqlite_options(&url, 1, false)).await?;
                let reader =
                    sea_orm::Database::connect(sqlite_options(&url, MAX_READERS, true)).await?;
                let group = Some(Arc::new(GroupCommit::new(writer.clone())));
                Ok(Self {
                    writer,
                    reader,
                    group,
                    batches: TaskTracker::new(),
                })
            }
            DatabaseUrl::Postgres { url } => {
                let pool =
                    sea_orm::Database::connect(postgres_options(url.expose(), connections)).await?;
                Ok(Self {
                    writer: pool.clone(),
                    reader: pool,
                    group: None,
                    batches: TaskTracker::new(),
                })
            }
        }
    }

    /// For statements that only read.
    pub fn reader(&self) -> &DatabaseConnection {
        &self.reader
    }

    /// For statements that write and are few; others share commits by [`Database::write`]. Never while a
    /// transaction of one's own is open: on SQLite that waits for itself.
    pub fn writer(&self) -> &DatabaseConnection {
        &self.writer
    }

    /// Which database this is.
    pub fn backend(&self) -> DatabaseBackend {
        self.writer.get_database_backend()
    }

    /// How the pool of connections is used; nothing is known of SQLite's, which are files.
    pub fn connections(&self) -> Option<Connections> {
        if self.backend() != DatabaseBackend::Postgres {
            return None;
        }
        let pool = self.writer.get_postgres_connection_pool();
        let idle = pool.num_idle() as u64;
        Some(Connections {
            idle,
            used: u64::from(pool.size()).saturating_sub(idle),
            most: pool.options().get_max_connections().into(),
        })
    }

    /// How many commits this process has made by [`Database::write`] and [`Database::transaction`], on SQLite:
    /// as long as the number stays, what was read after it was asked for is what is there. Nothing is known
    /// of PostgreSQL, where others write as well.
    pub(crate) fn commits(&self) -> Option<u64> {
        self.group.as_ref().map(|group| group.commits())
    }

    /// Runs `work`, which is one statement that writes, and returns once it is committed.
    pub async fn write<T, E: From<DbErr>>(
        &self,
        work: impl for<'t> Fn(DatabaseExecutor<'t>) -> InTransaction<'t, T, E>,
    ) -> Result<T, E> {
        match &self.group {
            Some(group) => group.statement(work).await,
            None => work((&self.writer).into()).await,
        }
    }

    /// Runs a statement that writes and brings rows back, and returns once it is committed.
    pub async fn write_returning(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.write(|database| {
            let statement = statement.clone();
            Box::pin(async move { database.query_all_raw(statement).await })
        })
        .await
    }

    /// Runs `work` in a transaction and commits it; an error rolls it back. A transaction that
    /// lost a race (two inserts of one key, a deadlock, a busy file) starts over a few times, so
    /// `work` must have no effect but on the database.
    pub async fn transaction<T, E>(
        &self,
        work: impl for<'t> Fn(&'t DatabaseTransaction) -> InTransaction<'t, T, E>,
    ) -> Result<T, E>
    where
        E: From<DbErr> + LostRace,
    {
        let mut tries = 1;
        loop {
            match self.try_transaction(&work).await {
                Err(error) if error.lost_race() && tries < TRANSACTION_TRIES => tries += 1,
                other => return other,
            }
        }
    }

    async fn try_transaction<T, E: From<DbErr>>(
        &self,
        work: &impl for<'t> Fn(&'t DatabaseTransaction) -> InTransaction<'t, T, E>,
    ) -> Result<T, E> {
        if let Some(group) = &self.group {
            return group.several(work).await;
        }
        let transaction = self.writer.begin().await?;
        match work(&transaction).await {
            Ok(value) => {
                transaction.commit().await?;
                Ok(value)
            }
            Err(error) => {
                // A dropped transaction is rolled back some time later, and until then its row
                // locks hide its rows from the claim. What the caller hears is why it ended.
                let _ = transaction.rollback().await;
                Err(error)
            }
        }
    }

    /// Closes the connections once what runs on them has ended.
    pub async fn close(self) -> Result<(), DbErr> {
        self.batches.close();
        self.batches.wait().await;
        self.reader.close().await?;
        self.writer.close().await
    }
}

/// An error that may be the mark of a lost race, after which the same transaction can succeed.
pub trait LostRace {
    /// Whether trying again makes sense.
    fn lost_race(&self) -> bool;
}

impl LostRace for DbErr {
    fn lost_race(&self) -> bool {
        let Some(error) = database_error(self) else {
            return false;
        };
        // PostgreSQL: serialization failure, deadlock. SQLite: busy, with its snapshot variants.
        error.kind() == sqlx::error::ErrorKind::UniqueViolation
            || match error.code().as_deref() {
                Some("40001" | "40P01") => true,
                Some(code) => {
                    self_is_sqlite(error) && code.parse::<i32>().is_ok_and(|code| code & 0xff == 5)
                }
                None => false,
            }
    }
}

/// Whether the database could not be reached or had no connection to spare: the caller may try
/// again later, and nothing is wrong with what it asked for.
pub fn is_unavailable(error: &DbErr) -> bool {
    match error {
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout | ConnAcquireErr::ConnectionClosed) => {
            true
        }
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => match error.as_ref() {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => true,
            // Connection exceptions, shutdown of the server, too many connections; and SQLite's
            // busy and locked.
            sqlx::Error::Database(error) => match error.code().as_deref() {
                Some(code) if self_is_sqlite(error.as_ref()) => code
                    .parse::<i32>()
                    .is_ok_and(|code| matches!(code & 0xff, 5 | 6)),
                Some(code) => {
                    code.starts_with("08") || matches!(code, "57P01" | "57P02" | "57P03" | "53300")
                }
                None => false,
            },
            _ => false,
        },
        _ => false,
    }
}

/// Whether the database took a statement and refused it: nothing of it was done.
fn is_refused(error: &DbErr) -> bool {
    database_error(error).is_some() && !is_unavailable(error)
}

/// Whether PostgreSQL gave a statement up because it took too long.
pub fn is_timeout(error: &DbErr) -> bool {
    database_error(error).is_some_and(|error| error.code().as_deref() == Some("57014"))
}

fn database_error(error: &DbErr) -> Option<&dyn sqlx::error::DatabaseError> {
    match error {
        DbErr::Exec(RuntimeErr::SqlxError(error)) | DbErr::Query(RuntimeErr::SqlxError(error)) => {
            error.as_database_error()
        }
        _ => None,
    }
}

fn self_is_sqlite(error: &dyn sqlx::error::DatabaseError) -> bool {
    error
        .try_downcast_ref::<sqlx::sqlite::SqliteError>()
        .is_some()
}

fn sqlite_options(url: &str, connections: u32, query_only: bool) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .sqlx_logging(false)
        .map_sqlx_sqlite_opts(move |sqlite| {
            let sqlite = sqlite
                .journal_mode(SqliteJournalMode::Wal)
                // An accepted job survives a power cut, too.
                .synchronous(SqliteSynchronous::Full)
                .busy_timeout(ACQUIRE_TIMEOUT)
                // What a page of the tables costs to read again is more than it takes to keep.
                .pragma("cache_size", SQLITE_CACHE);
            if query_only {
                sqlite.pragma("query_only", "ON")
            } else {
                sqlite
            }
        });
    options
}

fn postgres_options(url: &str, connections: u32) -> ConnectOptions {
    let mut options = ConnectOptions::new(url);
    options
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire_if_idle_for(TEST_AFTER)
        .statement_timeout(STATEMENT_TIMEOUT)
        .map_sqlx_postgres_opts(|postgres| {
            postgres.options([
                (
                    "idle_in_transaction_session_timeout",
                    IDLE_IN_TRANSACTION_TIMEOUT,
                ),
                // No statement touches more than a page of rows. A plan that was made while a table was
                // small, to read all of it, would be kept while it grows.
                ("enable_seqscan", "off"),
                // Which takes such costs for reason to compile.
                ("jit", "off"),
            ])
        })
        .sqlx_logging(false);
    options
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `.cargo/config.toml` has to reach whoever builds this.
    #[tokio::test]
    async fn sqlite_does_not_plan_anew_whatever_is_bound() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        let database = Database::connect(&DatabaseUrl::Sqlite { path }, 1).await;
        let sql = "SELECT sqlite_compileoption_used('ENABLE_QPSG')";
        let statement = Statement::from_string(DatabaseBackend::Sqlite, sql);
        let row = database.unwrap().reader().query_one_raw(statement).await;
        assert!(row.unwrap().unwrap().try_get_by_index::<bool>(0).unwrap());
    }
}
