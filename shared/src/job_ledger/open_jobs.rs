//! How many unfinished jobs a project has, and that they are not too many.

use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement};

use super::{JobLedger, LedgerError, entry::insert};
use crate::entities::job;

/// Whoever adds a job to a project waits for the one before: two could both see room for one. SQLite
/// has one writer anyway.
const LOCK: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1, 7305808869231650662))";
/// Counted no further than needed; `jobs_open` serves it.
const COUNT: &str = "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE project_id = $1 \
     AND status IN ('scheduled','pending','running','paused') LIMIT $2) AS open_jobs";

impl JobLedger {
    /// Enters a job if its project then has no more than so many. Says whether it could be entered;
    /// not if another holds its unicity.
    pub(super) async fn insert_within(
        &self,
        job: &job::Model,
        project: &str,
        most: u32,
    ) -> Result<bool, LedgerError> {
        let (job, project) = (job.clone(), project.to_owned());
        self.database
            .transaction(move |transaction| {
                let (job, project) = (job.clone(), project.clone());
                Box::pin(async move {
                    lock(transaction, &project).await?;
                    // First: one that is there already needs no room.
                    if !insert(transaction, &job).await? {
                        return Ok(false);
                    }
                    check(transaction, &project, most).await?;
                    Ok(true)
                })
            })
            .await
    }
}

/// Makes sure that a project has room for a job that is open again, within the transaction that has
/// opened it.
pub(super) async fn check_open(
    transaction: &impl ConnectionTrait,
    project: Option<&str>,
    most: Option<u32>,
) -> Result<(), LedgerError> {
    match (project, most) {
        (Some(project), Some(most)) => {
            lock(transaction, project).await?;
            check(transaction, project, most).await
        }
        _ => Ok(()),
    }
}

async fn lock(transaction: &impl ConnectionTrait, project: &str) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    if backend == DatabaseBackend::Postgres {
        let lock = Statement::from_sql_and_values(backend, LOCK, [project.into()]);
        transaction.execute_raw(lock).await?;
    }
    Ok(())
}

async fn check(
    transaction: &impl ConnectionTrait,
    project: &str,
    most: u32,
) -> Result<(), LedgerError> {
    let backend = transaction.get_database_backend();
    let limit = i64::from(most);
    let values = [project.into(), (limit + 1).into()];
    let count = Statement::from_sql_and_values(backend, COUNT, values);
    let row = transaction.query_one_raw(count).await?;
    let open: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    if open > limit {
        return Err(LedgerError::TooManyOpen { limit: most });
    }
    Ok(())
}
