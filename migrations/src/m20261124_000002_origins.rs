//! Hosts that asked to be left alone for a while.

use sea_orm_migration::prelude::*;

/// Creates the table `origins`. It holds a row for each host that asked for patience lately, and is
/// read by its key.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let mut host = ColumnDef::new("host").text().take();
        let mut not_before = ColumnDef::new("not_before")
            .timestamp_with_time_zone()
            .take();
        let origins = Table::create()
            .table("origins")
            .col(host.primary_key().not_null())
            .col(not_before.not_null())
            .to_owned();
        manager.create_table(origins).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dropped = Table::drop().table("origins").to_owned();
        manager.drop_table(dropped).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
