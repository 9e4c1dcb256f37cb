//! The schema: one set of migrations for SQLite and PostgreSQL, and the program `media-migrate`.
//!
//! This crate depends on no other crate of the workspace.

pub mod exit;
pub mod file_lock;
pub mod integrity;
pub mod private_files;

mod m20261130_000001_baseline;

use sea_orm_migration::{
    prelude::*,
    sea_orm::{
        DatabaseBackend, DatabaseConnection, DatabaseTransaction, SqliteTransactionMode, Statement,
        TransactionOptions, TransactionTrait,
    },
};

/// The migrations, in order.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![Box::new(m20261130_000001_baseline::Migration)]
    }
}

/// Acquires the PostgreSQL advisory lock that serializes concurrent migrations.
const ADVISORY_LOCK_SQL: &str = "SELECT pg_advisory_xact_lock(7305808869231650661)";

/// Applies all pending migrations in one transaction. Safe to run concurrently from several programs.
pub async fn migrate_up(database: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = begin(database).await?;
    if transaction.get_database_backend() == DatabaseBackend::Postgres {
        transaction.execute_unprepared(ADVISORY_LOCK_SQL).await?;
    }
    Migrator::up(&transaction, None).await?;
    transaction.commit().await
}

/// Begins a transaction that may write. The drivers' transactions are not safe when their futures are dropped; those of
/// the commands of `media-migrate` are not. The services use units of work instead.
#[expect(
    clippy::disallowed_methods,
    reason = "the futures of commands are not dropped"
)]
pub(crate) async fn begin(database: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    // A deferred transaction that reads before it writes would fail if another transaction wrote in between.
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    };
    database.begin_with_options(options).await
}

/// The reason why a program cannot use the schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The schema lacks migrations.
    #[error("the schema lacks {}; run `media-migrate up`", .0.join(", "))]
    Behind(Vec<String>),
    /// The schema has a migration that is unknown to this program.
    #[error(
        "the schema has the migration {0}, which this program does not know; run a newer program"
    )]
    Ahead(String),
    /// The schema cannot be read.
    #[error("the schema cannot be read: {0}")]
    Unreadable(#[from] DbErr),
}

/// Checks that this program can use the schema, without changing it.
pub async fn check(database: &impl ConnectionTrait) -> Result<(), SchemaError> {
    let applied = applied(database).await?;
    let known: Vec<String> = Migrator::migrations()
        .iter()
        .map(|migration| migration.name().to_owned())
        .collect();
    let is_unknown = |name: &&String| !known.contains(name);
    if let Some(unknown) = applied.iter().find(is_unknown) {
        return Err(SchemaError::Ahead(unknown.clone()));
    }
    let missing: Vec<String> = known
        .into_iter()
        .filter(|name| !applied.contains(name))
        .collect();
    if missing.is_empty() {
        Ok(())
    } else {
        Err(SchemaError::Behind(missing))
    }
}

/// The names of the applied migrations.
async fn applied(database: &impl ConnectionTrait) -> Result<Vec<String>, DbErr> {
    let backend = database.get_database_backend();
    let table = match backend {
        DatabaseBackend::Postgres => "to_regclass('seaql_migrations') IS NOT NULL",
        _ => "EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'seaql_migrations')",
    };
    let exists = Statement::from_string(backend, format!("SELECT {table}"));
    let row = database.query_one_raw(exists).await?;
    if !row.map_or(Ok(false), |row| row.try_get_by_index(0))? {
        return Ok(Vec::new());
    }
    let names = "SELECT version FROM seaql_migrations ORDER BY version";
    let rows = database
        .query_all_raw(Statement::from_string(backend, names))
        .await?;
    rows.iter().map(|row| row.try_get_by_index(0)).collect()
}
