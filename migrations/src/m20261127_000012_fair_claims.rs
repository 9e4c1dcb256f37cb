//! Claims are fair by project: the pending jobs of each project stand together in the index, the most urgent
//! first, and the running ones of each can be counted.

use sea_orm_migration::prelude::*;

/// Replaces the index of claims, and adds the project to that of running jobs.
#[derive(DeriveMigrationName)]
pub(crate) struct Migration;

const UP: [&str; 4] = [
    "DROP INDEX jobs_claim",
    "CREATE INDEX jobs_claim ON jobs ((coalesce(project_id, '')), priority DESC, id) \
     WHERE status = 'pending'",
    "DROP INDEX jobs_running",
    // The rescue reads all of it, a few thousand entries at most; a claim counts those of a project.
    "CREATE INDEX jobs_running ON jobs ((coalesce(project_id, '')), id) WHERE status = 'running'",
];

const DOWN: [&str; 4] = [
    "DROP INDEX jobs_running",
    "CREATE INDEX jobs_running ON jobs (id) WHERE status = 'running'",
    "DROP INDEX jobs_claim",
    "CREATE INDEX jobs_claim ON jobs (priority DESC, id) WHERE status = 'pending'",
];

#[async_trait::async_trait]
impl MigrationTrait for Migration {
    async fn up(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in UP {
            manager
                .get_connection()
                .execute_unprepared(statement)
                .await?;
        }
        Ok(())
    }

    async fn down(&self, manager: &SchemaManager) -> Result<(), DbErr> {
        for statement in DOWN {
            manager
                .get_connection()
                .execute_unprepared(statement)
                .await?;
        }
        Ok(())
    }

    fn use_transaction(&self) -> Option<bool> {
        Some(true)
    }
}
