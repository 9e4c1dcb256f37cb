//! Projects apart from each other: names of media, unicities and stored bytes are each project's own.

use sea_orm_migration::prelude::*;

/// Gives each project its own names, and counts what it stores.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

/// What belongs to no project shares one set of names: NULL equals nothing.
const UP: [&str; 10] = [
    "DROP INDEX medias_resource_key",
    "DROP INDEX medias_resource",
    "DROP INDEX jobs_unicity",
    // One media for a resource and key in each project; in this order because whoever has no token
    // asks without a project.
    "CREATE UNIQUE INDEX medias_resource_key ON medias (resource, key, (coalesce(project_id, ''))) \
     WHERE key IS NOT NULL",
    "CREATE UNIQUE INDEX medias_resource ON medias (resource, (coalesce(project_id, ''))) \
     WHERE key IS NULL",
    // Uniqueness among the unfinished jobs of a project, so that races lose, too.
    "CREATE UNIQUE INDEX jobs_unicity ON jobs (unicity, (coalesce(project_id, ''))) \
     WHERE unicity IS NOT NULL AND status IN ('scheduled','pending','running','paused')",
    // How many jobs of a project are open; written when a job of one is entered and when it ends.
    "CREATE INDEX jobs_open ON jobs (project_id) \
     WHERE project_id IS NOT NULL AND status IN ('scheduled','pending','running','paused')",
    "ALTER TABLE blobs ADD COLUMN project_id text",
    // What of `project_usage.stored_bytes` is for this blob, as long as it is staged or live.
    "ALTER TABLE blobs ADD COLUMN charged bigint NOT NULL DEFAULT 0",
    "CREATE TABLE project_usage (project_id text NOT NULL PRIMARY KEY, \
     stored_bytes bigint NOT NULL CHECK (stored_bytes >= 0))",
];

/// Fails where projects use the same names: they cannot be one again.
const DOWN: [&str; 10] = [
    "DROP TABLE project_usage",
    "ALTER TABLE blobs DROP COLUMN charged",
    "ALTER TABLE blobs DROP COLUMN project_id",
    "DROP INDEX jobs_open",
    "DROP INDEX jobs_unicity",
    "DROP INDEX medias_resource",
    "DROP INDEX medias_resource_key",
    "CREATE UNIQUE INDEX jobs_unicity ON jobs (unicity) \
     WHERE unicity IS NOT NULL AND status IN ('scheduled','pending','running','paused')",
    "CREATE UNIQUE INDEX medias_resource ON medias (resource) WHERE key IS NULL",
    "CREATE UNIQUE INDEX medias_resource_key ON medias (resource, key) WHERE key IS NOT NULL",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, &UP).await
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        execute(manager, &DOWN).await
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}

async fn execute(manager: &SchemaManager<'_>, statements: &[&str]) -> Result<(), DbErr> {
    for statement in statements {
        manager
            .get_connection()
            .execute_unprepared(statement)
            .await?;
    }
    Ok(())
}
