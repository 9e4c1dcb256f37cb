//! The schema and how it came to be: one set of migrations for SQLite and PostgreSQL.

mod m20261123_000001_create_tables;
mod m20261124_000001_checkpoints_and_metadata;
mod m20261124_000002_origins;
mod m20261124_000004_projects;
mod m20261124_000005_traces;
mod m20261126_000006_origin_guests;
mod m20261126_000007_public_since;
mod m20261126_000008_lists_by_id;
mod m20261127_000010_charset;

use sea_orm_migration::{
    prelude::*,
    sea_orm::{
        DatabaseBackend, DatabaseConnection, SqliteTransactionMode, TransactionOptions,
        TransactionTrait,
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
            Box::new(m20261127_000010_charset::Migration),
        ]
    }
}

/// Identifies the migrations among PostgreSQL's advisory locks: two programs that start at once
/// take turns.
const ADVISORY_LOCK: &str = "SELECT pg_advisory_xact_lock(7305808869231650661)";

/// Brings the schema up to date, all or nothing. Safe to run from several programs at once.
pub async fn migrate_up(database: &DatabaseConnection) -> Result<(), DbErr> {
    let options = TransactionOptions {
        sqlite_transaction_mode: Some(SqliteTransactionMode::Immediate),
        ..Default::default()
    };
    let transaction = database.begin_with_options(options).await?;
    if transaction.get_database_backend() == DatabaseBackend::Postgres {
        transaction.execute_unprepared(ADVISORY_LOCK).await?;
    }
    Migrator::up(&transaction, None).await?;
    transaction.commit().await
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
