//! The limit of unfinished jobs of a project.

use media_domain::job::JobStatus;
use sea_orm::{ConnectionTrait, Statement};

use super::{JobError, JobRepository, insert::insert};
use crate::{
    advisory_lock::{AdvisoryLock, lock},
    entities::job,
};

impl JobRepository {
    /// Inserts a job, if its project then has no more unfinished jobs than the limit. Returns whether it was inserted:
    /// not if another job holds its unicity.
    pub(super) async fn insert_within(
        &self,
        job: &job::Model,
        project: &str,
        limit: u32,
    ) -> Result<bool, JobError> {
        let (job, project) = (job.clone(), project.to_owned());
        self.database
            .transaction(move |transaction| {
                let (job, project) = (job.clone(), project.clone());
                Box::pin(async move {
                    lock(transaction, AdvisoryLock::ProjectJobs, &project).await?;
                    // First: a job that exists already needs no room.
                    if !insert(transaction, &job).await? {
                        return Ok(false);
                    }
                    check(transaction, &project, limit).await?;
                    Ok(true)
                })
            })
            .await
    }
}

/// Makes sure that a project has room for a job that is unfinished again, within the transaction that changed it.
pub(super) async fn check_reopened(
    transaction: &impl ConnectionTrait,
    project: Option<&str>,
    limit: Option<u32>,
) -> Result<(), JobError> {
    match (project, limit) {
        (Some(project), Some(limit)) => {
            lock(transaction, AdvisoryLock::ProjectJobs, project).await?;
            check(transaction, project, limit).await
        }
        _ => Ok(()),
    }
}

async fn check(
    transaction: &impl ConnectionTrait,
    project: &str,
    limit: u32,
) -> Result<(), JobError> {
    let backend = transaction.get_database_backend();
    let values = [project.into(), (i64::from(limit) + 1).into()];
    // Counts no further than needed. The index `jobs_unfinished` serves it.
    let count = format!(
        "SELECT count(*) FROM (SELECT 1 FROM jobs WHERE project_id = $1 AND status IN {} LIMIT $2) AS unfinished",
        JobStatus::UNFINISHED_SQL
    );
    let count = Statement::from_sql_and_values(backend, count, values);
    let row = transaction.query_one_raw(count).await?;
    let unfinished: i64 = row.map_or(Ok(0), |row| row.try_get_by_index(0))?;
    if unfinished > i64::from(limit) {
        return Err(JobError::TooManyUnfinished { limit });
    }
    Ok(())
}
