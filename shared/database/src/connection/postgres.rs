//! PostgreSQL: a pool of connections, and each unit of work in a task of its own on one of them.

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
    demotion::{Demotion, IS_READ_ONLY},
    failure,
    transaction::{Session, Transaction, internal},
    unit_of_work::{self, Outcome, Ran, Shape, Unit},
};
use crate::ACQUIRE_TIMEOUT;
use crate::Pooler;

/// The longest that PostgreSQL works on one statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest that PostgreSQL keeps the locks of a transaction whose client is silent: shorter than any
/// lease, so that a dead machine's row locks hold up neither heartbeats nor rescues.
const IDLE_IN_TRANSACTION_TIMEOUT: &str = "4s";
/// The settings of each connection, beside the statement timeout.
const SETTINGS: [(&str, &str); 3] = [
    (
        "idle_in_transaction_session_timeout",
        IDLE_IN_TRANSACTION_TIMEOUT,
    ),
    // No statement touches more than a page of rows. A plan that was made while a table was small, to read
    // all of it, would be kept while it grows.
    ("enable_seqscan", "off"),
    // Compiling takes such costs for a reason.
    ("jit", "off"),
];

/// Connections to PostgreSQL. Clones share them.
#[derive(Clone, Debug)]
pub(super) struct Pool {
    connection: DatabaseConnection,
    pooler: Pooler,
    demotion: Demotion,
}

impl Pool {
    /// A pool of at most so many connections.
    pub(super) async fn connect(
        url: &str,
        pooler: Pooler,
        connections: u32,
    ) -> Result<Self, DbErr> {
        let demotion = Demotion::default();
        let seen = demotion.clone();
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            .acquire_timeout(ACQUIRE_TIMEOUT)
            // After a restart of PostgreSQL broken connections are replaced, and no statement fails.
            .test_before_acquire(false)
            .before_acquire(move |connection, meta| {
                let seen = seen.clone();
                Box::pin(async move { seen.allows(connection, &meta).await })
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

    /// Has connections that are opened from now on use another URL, with another password.
    pub(super) fn set_url(&self, url: &str) -> Result<(), DbErr> {
        let options = connect_options(url, self.pooler)?;
        self.connections().set_connect_options(options);
        Ok(())
    }

    /// A connection of its own, with the settings of a session.
    pub(super) async fn direct(&self, url: &str) -> Result<DatabaseConnection, DbErr> {
        if !self.keeps_sessions() {
            return Err(internal(
                "this needs a connection to PostgreSQL itself, not to a pooler of transactions: run \
                 `media-migrate` with the DATABASE_URL of the server",
            ));
        }
        let pool = Self::connect(url, Pooler::None, 1).await?;
        Ok(pool.connection)
    }

    /// Whether statements outside a transaction use one session.
    pub(super) fn keeps_sessions(&self) -> bool {
        self.pooler == Pooler::None
    }

    pub(super) fn into_connection(self) -> DatabaseConnection {
        self.connection
    }

    pub(super) fn connections(&self) -> &PgPool {
        self.connection.get_postgres_connection_pool()
    }

    /// Runs a unit. The connection goes back to the pool only if PostgreSQL has confirmed its end; otherwise
    /// it is closed, and PostgreSQL rolls back.
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
        // The pool has a limit of its own.
        let connection = self.connections().acquire().await.map_err(acquire_error)?;
        let session = Session::postgres(connection, self.keeps_sessions());
        let transaction = Transaction::new(DatabaseBackend::Postgres, session);
        if is_transaction && self.keeps_sessions() {
            in_time(transaction.command(command)).await?;
        } else if is_transaction {
            let command = format!("{command}; {}", local_settings());
            in_time(transaction.command(&command)).await?;
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
            Ran::Done if is_transaction => match in_time(transaction.command("COMMIT")).await {
                Ok(()) => (Outcome::Committed, true),
                Err(error) => (Outcome::Failed(error), false),
            },
            Ran::Done => (Outcome::Committed, true),
            Ran::Undone(error) => {
                self.demotion.note(error.as_ref());
                let is_known = if is_transaction {
                    in_time(transaction.command("ROLLBACK")).await.is_ok()
                } else {
                    error.is_some_and(|error| !failure::is_unavailable(&error))
                };
                (Outcome::RolledBack, is_known)
            }
            Ran::Broken(error) => (Outcome::Failed(error), false),
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

    /// Ends a transaction that has only read. Its connection is closed if that cannot be confirmed.
    pub(super) async fn end_read(&self, transaction: Transaction) {
        if in_time(transaction.command("ROLLBACK")).await.is_ok() {
            release(transaction);
        }
    }

    /// Fails on a server that takes no writes: a standby, or one that is set to read only. Its connections
    /// are then replaced, since the address may lead to another server by now.
    pub(super) async fn check_writable(&self, reader: &Reader) -> Result<(), DbErr> {
        let statement = Statement::from_string(DatabaseBackend::Postgres, IS_READ_ONLY);
        let row = reader.query_one_raw(statement).await?;
        let is_read_only: Option<bool> = row.map(|row| row.try_get_by_index(0)).transpose()?;
        if is_read_only == Some(false) {
            return Ok(());
        }
        self.demotion.happened();
        Err(internal(
            "the server takes no writes: it is a standby, or set to read only",
        ))
    }
}

fn connect_options(url: &str, pooler: Pooler) -> Result<PgConnectOptions, DbErr> {
    let options: PgConnectOptions = url.parse().map_err(acquire_error)?;
    let options = options.disable_statement_logging();
    Ok(match pooler {
        Pooler::None => options
            .options([("statement_timeout", STATEMENT_TIMEOUT.as_millis())])
            .options(SETTINGS),
        // It refuses parameters that set up a session, and forgets what a session has prepared.
        Pooler::Transaction => options.extra_float_digits(None).statement_cache_capacity(0),
    })
}

/// The settings of a connection, for one transaction.
fn local_settings() -> String {
    let timeout = STATEMENT_TIMEOUT.as_millis().to_string();
    let settings = [("statement_timeout", timeout.as_str())];
    let commands = settings.iter().chain(&SETTINGS);
    let commands = commands.map(|(name, value)| format!("SET LOCAL {name} = '{value}'"));
    commands.collect::<Vec<_>>().join("; ")
}

/// Gives a connection back to its pool.
fn release(transaction: Transaction) {
    if let Some(session) = transaction.into_session() {
        session.release();
    }
}

async fn in_time(command: impl Future<Output = Result<(), DbErr>>) -> Result<(), DbErr> {
    timeout(STATEMENT_TIMEOUT, command)
        .await
        .unwrap_or_else(|_| Err(unit_of_work::too_slow(STATEMENT_TIMEOUT)))
}

fn acquire_error(error: sqlx::Error) -> DbErr {
    match error {
        sqlx::Error::PoolTimedOut => DbErr::ConnectionAcquire(ConnAcquireErr::Timeout),
        sqlx::Error::PoolClosed => DbErr::ConnectionAcquire(ConnAcquireErr::ConnectionClosed),
        error => DbErr::Conn(RuntimeErr::SqlxError(error.into())),
    }
}
