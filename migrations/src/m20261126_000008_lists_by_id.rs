//! Lists in the order of creation go by `id`, which is in that order: an index by `created_at` would be
//! paid for by every write, and give nothing.

use sea_orm_migration::prelude::*;

const TABLES: [&str; 2] = ["jobs", "medias"];

/// Drops the indexes by `created_at`.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            let index = format!("{table}_by_created_at");
            let dropped = Index::drop().name(index).table(table).to_owned();
            manager.drop_index(dropped).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for table in TABLES {
            let index = Index::create()
                .name(format!("{table}_by_created_at"))
                .table(table)
                .col("created_at")
                .col("id")
                .to_owned();
            manager.create_index(index).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
