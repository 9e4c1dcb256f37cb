//! Retries on SQLite were scheduled to the nanosecond, while clients see and send microseconds: no filter
//! found such a time, and pages in its order repeated rows. PostgreSQL keeps microseconds anyway.

use sea_orm_migration::{prelude::*, sea_orm::DatabaseBackend};

/// Cuts the times of waiting jobs to microseconds.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// A time with nanoseconds has 35 characters: `2026-11-27T12:00:00.123456789+00:00`.
const CUT: &str = "UPDATE jobs SET scheduled_at = substr(scheduled_at, 1, 26) || substr(scheduled_at, 30) \
                   WHERE length(scheduled_at) = 35";

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        if connection.get_database_backend() == DatabaseBackend::Sqlite {
            connection.execute_unprepared(CUT).await?;
        }
        Ok(())
    }

    async fn down(&self, _: &SchemaManager) -> Result<(), DbErr> {
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
