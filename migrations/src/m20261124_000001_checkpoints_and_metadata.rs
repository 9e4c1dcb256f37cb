//! What imports go on from, and what is known of media beside their bytes.

use sea_orm_migration::prelude::*;

/// Adds `blobs.checkpoint` and `medias.metadata`.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// Table and column, each a JSON document or nothing.
const COLUMNS: [(&str, &str); 2] = [("blobs", "checkpoint"), ("medias", "metadata")];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column) in COLUMNS {
            let document = ColumnDef::new(column).json_binary().take();
            let altered = Table::alter().table(table).add_column(document).take();
            manager.alter_table(altered).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for (table, column) in COLUMNS {
            let altered = Table::alter().table(table).drop_column(column).take();
            manager.alter_table(altered).await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
