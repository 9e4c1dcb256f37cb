//! PostgreSQL: a connection pool. Each unit of work runs in its own task on one of the connections.

use std::time::Duration;

use sea_orm::{
    ConnAcquireErr, ConnectionTrait as _, DatabaseBackend, DatabaseConnection, DbErr, RuntimeErr,
    SqlxPostgresConnector, Statement,
    sqlx::{
        self, ConnectOptions as _, PgPool,
        postgres::{PgConnectOptions, PgPoolOptions},
    },
};
use tokio::time::timeout;

use super::{
    Reader,
    demotion::{Demotion, READ_ONLY_QUERY},
    failure,
    transaction::{Session, Transaction, internal},
    unit_of_work::{self, Outcome, RunResult, Shape, Unit},
};
use crate::ACQUIRE_TIMEOUT;
use crate::Pooler;

/// The time after which PostgreSQL cancels a statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// The time after which PostgreSQL ends a transaction whose client is silent. It is shorter than any lease, so that the
/// row locks of a failed machine delay neither heartbeats nor the recovery of its jobs.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "4s";
/// The settings of each connection, in addition to the statement timeout.
const SESSION_SETTINGS: [(&str, &str); 3] = [
    (
        "idle_in_transaction_session_timeout",
        IDLE_IN_TRANSACTION_TIMEOUT,
    ),
    // No statement touches more than a page of rows. A sequential scan, planned while a table was small, would
    // otherwise be kept in a cached plan while the table grows.
    ("enable_seqscan", "off"),
    // The cost that is added to sequential scans would trigger JIT compilation.
    ("jit", "off"),
];

/// The connections to PostgreSQL. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    connection: DatabaseConnection,
    pooler: Pooler,
    demotion: Demotion,
}

impl Pool {
    /// Opens a pool of at most `connections`.
    pub(super) async fn connect(
        url: &str,
        pooler: Pooler,
        connections: u32,
    ) -> Result<Self, DbErr> {
        let demotion = Demotion::default();
        let detector = demotion.clone();
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // `before_acquire` tests connections instead, and replaces the ones broken by a restart of PostgreSQL.
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                let detector = detector.clone();
                Box::pin(async move { detector.allows(connection, &meta).await })
            })
            .connect_with(connect_options(url, pooler)?)
            .await
            .map_err(acquire_error)?;
        Ok(Self {
            connection: SqlxPostgresConnector::from_sqlx_postgres_pool(pool),
            pooler,
            demotion,
        })
    }

    /// Sets the URL, usually with a new password, for connections that are opened from now on.
    pub(super) fn set_url(&self, url: &str) -> Result<(), DbErr> {
        let options = connect_options(url, self.pooler)?;
        self.connections().set_connect_options(options);
        Ok(())
    }

    /// Opens a separate connection with session settings. Fails behind a pooler.
    pub(super) async fn direct(&self, url: &str) -> Result<DatabaseConnection, DbErr> {
        if !self.keeps_sessions() {
            return Err(internal(
                "this requires a connection to PostgreSQL itself, not to a transaction pooler: run \
                 `media-migrate` with the DATABASE_URL of the server",
            ));
        }
        let pool = Self::connect(url, Pooler::None, 1).await?;
        Ok(pool.connection)
    }

    /// Whether a connection keeps its session between transactions, as it does without a pooler.
    pub(super) fn keeps_sessions(&self) -> bool {
        self.pooler == Pooler::None
    }

    pub(super) fn into_connection(self) -> DatabaseConnection {
        self.connection
    }

    pub(super) fn connections(&self) -> &PgPool {
        self.connection.get_postgres_connection_pool()
    }

    /// Runs a unit. The connection is returned to the pool only if PostgreSQL has confirmed the end of the unit;
    /// otherwise it is closed, and PostgreSQL rolls back.
    pub(super) async fn run(self, mut unit: Box<dyn Unit>) {
        if !unit.is_wanted() {
            return;
        }
        let is_transaction = unit.shape() == Shape::Transaction || !self.keeps_sessions();
        let outcome = match self.begin(is_transaction, "BEGIN").await {
            Ok(transaction) => self.run_on(transaction, &mut *unit, is_transaction).await,
            Err(error) => Outcome::Failed(error),
        };
        unit.finish(outcome);
    }

    async fn begin(&self, is_transaction: bool, command: &str) -> Result<Transaction, DbErr> {
        // The pool applies its own timeout.
        let connection = self.connections().acquire().await.map_err(acquire_error)?;
        let session = Session::postgres(connection, self.keeps_sessions());
        let transaction = Transaction::new(DatabaseBackend::Postgres, session);
        if is_transaction && self.keeps_sessions() {
            with_timeout(transaction.command(command)).await?;
        } else if is_transaction {
            let command = format!("{command}; {}", local_settings());
            with_timeout(transaction.command(&command)).await?;
        }
        Ok(transaction)
    }

    async fn run_on(
        &self,
        transaction: Transaction,
        unit: &mut dyn Unit,
        is_transaction: bool,
    ) -> Outcome {
        let (outcome, is_known) = match unit_of_work::run(unit, &transaction).await {
            RunResult::Completed if is_transaction => {
                match with_timeout(transaction.command("COMMIT")).await {
                    Ok(()) => (Outcome::Committed, true),
                    Err(error) => (Outcome::Failed(error), false),
                }
            }
            RunResult::Completed => (Outcome::Committed, true),
            RunResult::RolledBack(error) => {
                self.demotion.check_error(error.as_ref());
                let is_known = if is_transaction {
                    with_timeout(transaction.command("ROLLBACK")).await.is_ok()
                } else {
                    error.is_some_and(|error| !failure::is_unavailable(&error))
                };
                (Outcome::RolledBack, is_known)
            }
            RunResult::Broken(error) => (Outcome::Failed(error), false),
        };
        if is_known {
            release(transaction);
        }
        outcome
    }

    /// Begins a transaction that only reads.
    pub(super) async fn begin_read(&self) -> Result<Transaction, DbErr> {
        self.begin(true, "BEGIN READ ONLY").await
    }

    /// Ends a transaction that only reads. Closes the connection if PostgreSQL does not confirm the end.
    pub(super) async fn end_read(&self, transaction: Transaction) {
        if with_timeout(transaction.command("ROLLBACK")).await.is_ok() {
            release(transaction);
        }
    }

    /// Fails on a read-only server: a standby, or one configured as read-only. Its connections are then replaced, since
    /// the address may lead to another server by now.
    pub(super) async fn check_writable(&self, reader: &Reader) -> Result<(), DbErr> {
        let statement = Statement::from_string(DatabaseBackend::Postgres, READ_ONLY_QUERY);
        let row = reader.query_one_raw(statement).await?;
        let is_read_only: Option<bool> = row.map(|row| row.try_get_by_index(0)).transpose()?;
        if is_read_only == Some(false) {
            return Ok(());
        }
        self.demotion.record();
        Err(internal(
            "the database server is read-only: it is a standby, or configured as read-only",
        ))
    }
}

fn connect_options(url: &str, pooler: Pooler) -> Result<PgConnectOptions, DbErr> {
    let options: PgConnectOptions = url.parse().map_err(acquire_error)?;
    let options = options.disable_statement_logging();
    Ok(match pooler {
        Pooler::None => options
            .options([("statement_timeout", STATEMENT_TIMEOUT.as_millis())])
            .options(SESSION_SETTINGS),
        // The pooler refuses session parameters, and prepared statements do not outlast a transaction.
        Pooler::Transaction => options.extra_float_digits(None).statement_cache_capacity(0),
    })
}

/// The session settings as commands for one transaction.
fn local_settings() -> String {
    let timeout = STATEMENT_TIMEOUT.as_millis().to_string();
    let settings = [("statement_timeout", timeout.as_str())];
    let commands = settings.iter().chain(&SESSION_SETTINGS);
    let commands = commands.map(|(name, value)| format!("SET LOCAL {name} = '{value}'"));
    commands.collect::<Vec<_>>().join("; ")
}

/// Returns a connection to its pool.
fn release(transaction: Transaction) {
    if let Some(session) = transaction.into_session() {
        session.release();
    }
}

async fn with_timeout(command: impl Future<Output = Result<(), DbErr>>) -> Result<(), DbErr> {
    timeout(STATEMENT_TIMEOUT, command)
        .await
        .unwrap_or_else(|_| Err(unit_of_work::timed_out(STATEMENT_TIMEOUT)))
}

fn acquire_error(error: sqlx::Error) -> DbErr {
    match error {
        sqlx::Error::PoolTimedOut => DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
        sqlx::Error::PoolClosed => DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed),
        error => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
    }
}
