//! Jobs remember the trace that they were asked for in, so that it goes on in the worker.

use sea_orm_migration::prelude::*;

/// Adds `jobs.trace_parent`.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE jobs ADD COLUMN trace_parent text";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE jobs DROP COLUMN trace_parent";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }
}
