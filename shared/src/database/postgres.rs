//! Writing to PostgreSQL: each unit of work in a task of its own, on a connection of the pool.

use std::time::Duration;

use sea_orm::{
    ConnAcquireErr, ConnectOptions, ConnectionTrait as _, DatabaseBackend, DatabaseConnection,
    DbErr, RuntimeErr, Statement,
    sqlx::{self, PgPool},
};
use tokio::time::timeout;

use super::{
    ACQUIRE_TIMEOUT, Reader, failure,
    transaction::{Session, Transaction, internal},
    unit::{self, Outcome, Ran, Shape, Unit},
};

/// The longest that PostgreSQL works on one statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that PostgreSQL keeps the locks of a transaction whose client is silent: shorter than any
/// lease, so that a dead machine's row locks hold up neither heartbeats nor rescues.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "4s";
/// The time after which an unused connection is tested before it is used: after a restart of PostgreSQL
/// such connections are replaced, and nobody's statement fails.
const TEST_AFTER: Duration = Duration::from_secs(1);

/// Runs a unit. The connection goes back to the pool only if PostgreSQL has confirmed its end; otherwise it
/// is closed, and PostgreSQL rolls back.
pub(super) async fn run(pool: PgPool, mut unit: Box<dyn Unit>) {
    if !unit.is_wanted() {
        return;
    }
    let outcome = match begin(&pool, unit.shape()).await {
        Ok(transaction) => run_on(transaction, &mut *unit).await,
        Err(error) => Outcome::Failed(error),
    };
    unit.finish(outcome);
}

async fn begin(pool: &PgPool, shape: Shape) -> Result<Transaction, DbErr> {
    // The pool has a limit of its own.
    let connection = pool.acquire().await.map_err(acquire_error)?;
    let session = Session::postgres(connection);
    let transaction = Transaction::new(DatabaseBackend::Postgres, session);
    if shape == Shape::Transaction {
        in_time(transaction.command("BEGIN")).await?;
    }
    Ok(transaction)
}

async fn run_on(transaction: Transaction, unit: &mut dyn Unit) -> Outcome {
    let in_transaction = unit.shape() == Shape::Transaction;
    let (outcome, is_known) = match unit::run(unit, &transaction).await {
        Ran::Done if in_transaction => match in_time(transaction.command("COMMIT")).await {
            Ok(()) => (Outcome::Committed, true),
            Err(error) => (Outcome::Failed(error), false),
        },
        Ran::Done => (Outcome::Committed, true),
        Ran::Undone(_) if in_transaction => {
            let rolled_back = in_time(transaction.command("ROLLBACK")).await;
            (Outcome::RolledBack, rolled_back.is_ok())
        }
        Ran::Undone(error) => {
            let is_known = error.is_some_and(|error| !failure::is_unavailable(&error));
            (Outcome::RolledBack, is_known)
        }
        Ran::Broken(error) => (Outcome::Failed(error), false),
    };
    if is_known && let Some(session) = transaction.into_session() {
        session.release();
    }
    outcome
}

async fn in_time(command: impl Future<Output = Result<(), DbErr>>) -> Result<(), DbErr> {
    timeout(STATEMENT_TIMEOUT, command)
        .await
        .unwrap_or_else(|_| Err(unit::too_slow(STATEMENT_TIMEOUT)))
}

fn acquire_error(error: sqlx::Error) -> DbErr {
    match error {
        sqlx::Error::PoolTimedOut => DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
        sqlx::Error::PoolClosed => DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed),
        error => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
    }
}

/// A pool of at most so many connections.
pub(super) async fn connect(url: &str, connections: u32) -> Result<DatabaseConnection, DbErr> {
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
                // Compiling takes such costs for a reason.
                ("jit", "off"),
            ])
        })
        .sqlx_logging(false);
    sea_orm::Database::connect(options).await
}

/// Fails on a server that takes no writes: a standby, or one that is set to read only.
pub(super) async fn check_writable(reader: &Reader) -> Result<(), DbErr> {
    let sql = "SELECT current_setting('transaction_read_only') = 'on'";
    let statement = Statement::from_string(DatabaseBackend::Postgres, sql);
    let row = reader.query_one_raw(statement).await?;
    match row.map(|row| row.try_get_by_index(0)).transpose()? {
        Some(false) => Ok(()),
        _ => Err(internal(
            "the server takes no writes: it is a standby, or set to read only",
        )),
    }
}
