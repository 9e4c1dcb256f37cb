//! The schema and how it came to be: one set of migrations for SQLite and PostgreSQL.

pub mod file_lock;
pub mod integrity;
pub mod private_files;

mod m20261123_000001_create_tables;
mod m20261124_000001_checkpoints_and_metadata;
mod m20261124_000002_origins;
mod m20261124_000004_projects;
mod m20261124_000005_traces;
mod m20261126_000006_origin_guests;
mod m20261126_000007_public_since;
mod m20261126_000008_lists_by_id;
mod m20261127_000009_whole_microseconds;
mod m20261127_000010_charset;
mod m20261127_000012_fair_claims;

use sea_orm_migration::{
    prelude::*,
    sea_orm::{
        DatabaseBackend, DatabaseConnection, DatabaseTransaction, SqliteTransactionMode,
        TransactionOptions, TransactionTrait,
    },
};

/// The migrations in their order.
pub struct Migrator;

#[async_trait::async_trait]
impl MigratorTrait for Migrator {
    fn migrations() -> Vec<Box<dyn MigrationTrait>> {
        vec![
            Box::new(m20261123_000001_create_tables::Migration),
            Box::new(m20261124_000001_checkpoints_and_metadata::Migration),
            Box::new(m20261124_000002_origins::Migration),
            Box::new(m20261124_000004_projects::Migration),
            Box::new(m20261124_000005_traces::Migration),
            Box::new(m20261126_000006_origin_guests::Migration),
            Box::new(m20261126_000007_public_since::Migration),
            Box::new(m20261126_000008_lists_by_id::Migration),
            Box::new(m20261127_000009_whole_microseconds::Migration),
            Box::new(m20261127_000010_charset::Migration),
            Box::new(m20261127_000012_fair_claims::Migration),
        ]
    }
}

/// Identifies the migrations among PostgreSQL's advisory locks: two programs that start at once
/// take turns.
const ADVISORY_LOCK: &str = "SELECT pg_advisory_xact_lock(7305808869231650661)";

/// Brings the schema up to date, all or nothing. Safe to run from several programs at once.
pub async fn migrate_up(database: &DatabaseConnection) -> Result<(), DbErr> {
    let transaction = begin(database).await?;
    if transaction.get_database_backend() == DatabaseBackend::Postgres {
        transaction.execute_unprepared(ADVISORY_LOCK).await?;
    }
    Migrator::up(&transaction, None).await?;
    transaction.commit().await
}

/// Begins a transaction that may write. Only this program's own commands use it, whose futures are not
/// dropped while they go on; the services' transactions are units of work.
#[expect(clippy::disallowed_methods, reason = "see above")]
pub(crate) async fn begin(database: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
    // Immediate: a deferred transaction that reads before it writes fails if another wrote in between.
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    };
    database.begin_with_options(options).await
}

/// Why a program cannot run on a schema.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// It lacks migrations.
    #[error("the schema lacks {}; run `media-migrate up`", .0.join(", "))]
    Behind(Vec<String>),
    /// It cannot be read, or has migrations that this program does not know.
    #[error("the schema cannot be used by this program: {0}")]
    Unusable(#[from] DbErr),
}

/// Makes sure that a program can run on a schema, without changing it.
pub async fn check(database: &DatabaseConnection) -> Result<(), SchemaError> {
    let pending = Migrator::get_pending_migrations_read_only(database).await?;
    if pending.is_empty() {
        return Ok(());
    }
    let names = pending.iter().map(|migration| migration.name().to_owned());
    Err(SchemaError::Behind(names.collect()))
}
