//! Media remember since when they are public, so that nobody gets in the place of another at a path that
//! the public knows.

use sea_orm_migration::prelude::*;

/// Adds `medias.public_since`; those that are public by now have been for as long as they are there.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let connection = manager.get_connection();
        for sql in [
            "ALTER TABLE medias ADD COLUMN public_since timestamp with time zone",
            "UPDATE medias SET public_since = created_at WHERE public",
        ] {
            connection.execute_unprepared(sql).await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        let sql = "ALTER TABLE medias DROP COLUMN public_since";
        manager.get_connection().execute_unprepared(sql).await?;
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
