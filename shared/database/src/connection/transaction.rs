//! The connection of a unit of work. It only runs statements: the code that runs the unit ([`super::sqlite`],
//! [`super::postgres`]) begins, commits and rolls back.
//!
//! The drivers' own transactions are not used, because their cleanup when a future is dropped is not safe: sqlx issues
//! 2054, 3875 and 3932 (SQLite), 4385 and 4393 (PostgreSQL, fixed by pull request 4394, which is not released yet), and
//! SeaORM's `DatabaseTransaction`, whose `Drop` sends a second `ROLLBACK` that ends the enclosing transaction.

use std::{
    ops::ControlFlow,
    sync::{Arc, Mutex as StdMutex, PoisonError},
};

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DbErr, ExecResult, QueryResult, RuntimeErr, Statement, Value,
    sqlx::{
        self, AssertSqlSafe, Executor as _, PgConnection, Postgres, SqliteConnection,
        pool::PoolConnection, query_with,
    },
};
use sea_query_sqlx::SqlxValues;
use tokio::sync::{Mutex, MutexGuard};

use media_domain::clock::to_micros;

/// The connection of one unit of work.
///
/// After a failed statement, all later ones fail with the same error and the unit is rolled back, on both databases:
/// PostgreSQL accepts no further statements, and SQLite may have ended the transaction
/// (<https://sqlite.org/lang_transaction.html>, §3.2).
#[derive(Debug)]
pub struct Transaction {
    backend: DatabaseBackend,
    session: Mutex<Session>,
    failure: StdMutex<Option<DbErr>>,
}

/// A connection and the state of its last statement.
#[derive(Debug)]
pub(super) struct Session {
    connection: Connection,
    /// Whether a statement was begun and has not ended.
    is_busy: bool,
    /// Whether statements stay prepared. False behind a pooler, where the connection changes.
    keeps_prepared: bool,
}

#[derive(Debug)]
enum Connection {
    Sqlite(SqliteConnection),
    Postgres(Pooled),
}

/// A pooled connection that is closed when it is dropped. Only [`Pooled::release`] returns it to the pool, so that no
/// connection in an unknown state is reused.
#[derive(Debug)]
struct Pooled(Option<PoolConnection<Postgres>>);

impl Pooled {
    fn get(&mut self) -> Result<&mut PgConnection, DbErr> {
        match &mut self.0 {
            Some(connection) => Ok(connection),
            None => Err(internal("the connection was already returned to the pool")),
        }
    }

    fn release(mut self) {
        drop(self.0.take());
    }
}

impl Drop for Pooled {
    fn drop(&mut self) {
        if let Some(connection) = self.0.take() {
            drop(connection.detach());
        }
    }
}

impl Session {
    pub(super) fn sqlite(connection: SqliteConnection) -> Self {
        Self::new(Connection::Sqlite(connection), true)
    }

    pub(super) fn postgres(connection: PoolConnection<Postgres>, keeps_prepared: bool) -> Self {
        Self::new(
            Connection::Postgres(Pooled(Some(connection))),
            keeps_prepared,
        )
    }

    fn new(connection: Connection, keeps_prepared: bool) -> Self {
        Self {
            connection,
            is_busy: false,
            keeps_prepared,
        }
    }

    /// Returns the connection to its pool. Dropping it closes it instead.
    pub(super) fn release(self) {
        if let Connection::Postgres(pooled) = self.connection
            && !self.is_busy
        {
            pooled.release();
        }
    }

    /// The SQLite connection, to close it.
    pub(super) fn into_sqlite(self) -> Option<SqliteConnection> {
        match self.connection {
            Connection::Sqlite(connection) => Some(connection),
            Connection::Postgres(_) => None,
        }
    }

    async fn run_unprepared(&mut self, sql: &str) -> Result<ExecResult, DbErr> {
        let sql = AssertSqlSafe(sql);
        match &mut self.connection {
            Connection::Sqlite(connection) => connection.execute(sql).await.map(Into::into),
            Connection::Postgres(pooled) => pooled.get()?.execute(sql).await.map(Into::into),
        }
        .map_err(exec_error)
    }

    async fn execute(&mut self, statement: &Statement) -> Result<ExecResult, DbErr> {
        let sql = AssertSqlSafe(statement.sql.as_str());
        let values = bound_values(statement);
        match &mut self.connection {
            Connection::Sqlite(connection) => {
                let query = query_with(sql, values).execute(connection);
                query.await.map(Into::into)
            }
            Connection::Postgres(pooled) => {
                let query = query_with(sql, values).persistent(self.keeps_prepared);
                query.execute(pooled.get()?).await.map(Into::into)
            }
        }
        .map_err(exec_error)
    }

    async fn fetch_all(&mut self, statement: &Statement) -> Result<Vec<QueryResult>, DbErr> {
        let sql = AssertSqlSafe(statement.sql.as_str());
        let values = bound_values(statement);
        match &mut self.connection {
            Connection::Sqlite(connection) => {
                let rows = query_with(sql, values).fetch_all(connection).await;
                rows.map(|rows| rows.into_iter().map(Into::into).collect())
            }
            Connection::Postgres(pooled) => {
                let query = query_with(sql, values).persistent(self.keeps_prepared);
                let rows = query.fetch_all(pooled.get()?).await;
                rows.map(|rows| rows.into_iter().map(Into::into).collect())
            }
        }
        .map_err(query_error)
    }

    async fn visit_rows(
        &mut self,
        statement: &Statement,
        mut visit: impl FnMut(QueryResult) -> Result<ControlFlow<()>, DbErr>,
    ) -> Result<(), DbErr> {
        let sql = AssertSqlSafe(statement.sql.as_str());
        let query = query_with(sql, bound_values(statement)).persistent(self.keeps_prepared);
        let Connection::Postgres(pooled) = &mut self.connection else {
            return Err(internal("SQLite is read through its own connections"));
        };
        let mut rows = query.fetch(pooled.get()?);
        while let Some(row) = rows.try_next().await.map_err(query_error)? {
            if visit(row.into())?.is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The bound values of a statement, with times truncated to microseconds, the precision of PostgreSQL. SQLite would
/// store nanoseconds, and comparisons with a time from the API would fail.
fn bound_values(statement: &Statement) -> SqlxValues {
    let mut values = statement
        .values
        .clone()
        .unwrap_or(sea_orm::Values(Vec::new()));
    for value in &mut values.0 {
        if let Value::ChronoDateTimeUtc(Some(time)) = value {
            *time = to_micros(*time);
        }
    }
    SqlxValues(values)
}

impl Transaction {
    pub(super) fn new(backend: DatabaseBackend, session: Session) -> Self {
        Self {
            backend,
            session: Mutex::new(session),
            failure: StdMutex::new(None),
        }
    }

    /// Runs a transaction command, such as `BEGIN` or `COMMIT`.
    pub(super) async fn command(&self, sql: &str) -> Result<(), DbErr> {
        let mut session = self.begin_statement().await?;
        let done = session.run_unprepared(sql).await;
        session.is_busy = false;
        done.map(drop)
    }

    /// Runs a statement and visits its rows one by one, until `visit` breaks.
    pub(super) async fn visit_rows(
        &self,
        statement: &Statement,
        visit: impl FnMut(QueryResult) -> Result<ControlFlow<()>, DbErr>,
    ) -> Result<(), DbErr> {
        let mut session = self.begin_work().await?;
        let done = session.visit_rows(statement, visit).await;
        self.end_statement(&mut session, done)
    }

    /// Takes the error of the first statement that failed since the last call.
    pub(super) fn take_failure(&self) -> Option<DbErr> {
        self.failure().take()
    }

    /// The connection, if no statement on it was interrupted.
    pub(super) fn into_session(self) -> Option<Session> {
        let session = self.session.into_inner();
        (!session.is_busy).then_some(session)
    }

    fn failure(&self) -> std::sync::MutexGuard<'_, Option<DbErr>> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn begin_statement(&self) -> Result<MutexGuard<'_, Session>, DbErr> {
        let mut session = self.session.lock().await;
        if session.is_busy {
            return Err(internal(
                "an earlier statement on this connection was interrupted",
            ));
        }
        // Remains set if the future is dropped before the statement has ended.
        session.is_busy = true;
        Ok(session)
    }

    async fn begin_work(&self) -> Result<MutexGuard<'_, Session>, DbErr> {
        if let Some(failure) = &*self.failure() {
            return Err(failure.clone());
        }
        self.begin_statement().await
    }

    fn end_statement<T>(&self, session: &mut Session, done: Result<T, DbErr>) -> Result<T, DbErr> {
        session.is_busy = false;
        done.inspect_err(|error| {
            self.failure().get_or_insert_with(|| error.clone());
        })
    }
}

#[async_trait]
impl ConnectionTrait for Transaction {
    fn get_database_backend(&self) -> DatabaseBackend {
        self.backend
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let mut session = self.begin_work().await?;
        let done = session.execute(&statement).await;
        self.end_statement(&mut session, done)
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        let mut session = self.begin_work().await?;
        let done = session.run_unprepared(sql).await;
        self.end_statement(&mut session, done)
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        // A statement that writes has ended only after its last row was read.
        let rows = self.query_all_raw(statement).await?;
        Ok(rows.into_iter().next())
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let mut session = self.begin_work().await?;
        let done = session.fetch_all(&statement).await;
        self.end_statement(&mut session, done)
    }
}

fn exec_error(error: sqlx::Error) -> DbErr {
    DbErr::Exec(RuntimeErr::SqlxError(Arc::new(error)))
}

fn query_error(error: sqlx::Error) -> DbErr {
    DbErr::Query(RuntimeErr::SqlxError(Arc::new(error)))
}

/// An error of this module as an error of SeaORM.
pub(super) fn internal(text: impl Into<String>) -> DbErr {
    DbErr::Conn(RuntimeErr::Internal(text.into()))
}
