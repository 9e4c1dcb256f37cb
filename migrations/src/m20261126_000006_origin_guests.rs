//! Which workers are at an origin, so that all of them together have no more connections to it than
//! configured.

use sea_orm_migration::prelude::*;

/// Creates the table `origin_guests`. It holds a row for each host and worker that has connections to it
/// now, or had within the last seconds, and is read by the host.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let required = |column: &mut ColumnDef| column.not_null().take();
        let guests = Table::create()
            .table("origin_guests")
            .col(required(ColumnDef::new("host").text()))
            .col(required(ColumnDef::new("worker_id").uuid()))
            .col(required(ColumnDef::new("connections").integer()))
            .col(required(
                ColumnDef::new("seen_at").timestamp_with_time_zone(),
            ))
            .primary_key(Index::create().col("host").col("worker_id"))
            .to_owned();
        manager.create_table(guests).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let dropped = Table::drop().table("origin_guests").to_owned();
        manager.drop_table(dropped).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
