//! The quotas of projects. Bytes are reserved with their blob before they are written, so that no number of concurrent
//! writers exceeds a quota.

use std::collections::BTreeMap;

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, ExprTrait as _, QueryFilter, Statement, sea_query::Expr,
};

use super::{BlobRepository, staged};
use crate::{LostRace, entities::blob};
use media_domain::blob::StagedBlob;
use media_telemetry::metrics::{BackgroundTask, metrics};

/// Bytes could not be reserved.
#[derive(Debug, thiserror::Error)]
pub enum QuotaError {
    /// They would exceed the project's quota.
    #[error("this would exceed the project's quota of {limit} bytes; delete media or ask for more")]
    Exceeded {
        /// The quota, in bytes.
        limit: u64,
    },
    /// The blob is no longer the writer's.
    #[error("the blob has another writer now, or was abandoned")]
    BlobLost,
    /// The tables could not be read or written.
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl LostRace for QuotaError {
    fn lost_race(&self) -> bool {
        matches!(self, Self::Database(error) if error.lost_race())
    }
}

impl BlobRepository {
    /// Reserves more bytes for a staged blob in its project's quota, or releases some if `more` is negative.
    pub async fn reserve(&self, blob: &StagedBlob, more: i64) -> Result<(), QuotaError> {
        let Some(project) = &blob.project else {
            return Ok(());
        };
        let limit = self.max_stored_bytes.unwrap_or(i64::MAX.unsigned_abs());
        let reserve = staged(blob.owner)
            .col_expr(
                blob::Column::Charged,
                Expr::col(blob::Column::Charged).add(more),
            )
            .filter(blob::Column::Id.eq(blob.id));
        let project = project.clone();
        self.database
            .transaction(move |transaction| {
                // The blob before its project, as everywhere, so that no two transactions deadlock.
                let (reserve, project) = (reserve.clone(), project.clone());
                Box::pin(async move {
                    if reserve.exec(transaction).await?.rows_affected != 1 {
                        return Err(QuotaError::BlobLost);
                    }
                    if add(transaction, &project, more, limit).await? {
                        Ok(())
                    } else {
                        Err(QuotaError::Exceeded { limit })
                    }
                })
            })
            .await
    }

    /// Makes sure that a project has room for more bytes now. Reserves nothing; the write itself does.
    pub async fn check_room(&self, project: &str, more: u64) -> Result<(), QuotaError> {
        let Some(limit) = self.max_stored_bytes else {
            return Ok(());
        };
        let stored = self.stored_bytes(project).await?;
        if stored.saturating_add(more) > limit {
            return Err(QuotaError::Exceeded { limit });
        }
        Ok(())
    }

    /// The bytes that count for a project: of its media, and of writes in progress.
    pub async fn stored_bytes(&self, project: &str) -> Result<u64, DbErr> {
        let sql = "SELECT stored_bytes FROM project_usage WHERE project_id = $1";
        let reader = self.database.reader();
        let statement =
            Statement::from_sql_and_values(self.database.backend(), sql, [project.into()]);
        let row = reader.query_one_raw(statement).await?;
        let bytes = row.map(|row| row.try_get_by_index::<i64>(0)).transpose()?;
        Ok(bytes.and_then(|b| u64::try_from(b).ok()).unwrap_or(0))
    }
}

/// Adds bytes to the usage of a project. Returns whether the quota allows it.
async fn add(
    transaction: &impl ConnectionTrait,
    project: &str,
    more: i64,
    limit: u64,
) -> Result<bool, DbErr> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    if more <= 0 {
        subtract(transaction, project, -more).await?;
        return Ok(true);
    }
    if more > limit {
        return Ok(false);
    }
    let sql = "INSERT INTO project_usage (project_id, stored_bytes) VALUES ($1, $2) \
         ON CONFLICT (project_id) DO UPDATE \
         SET stored_bytes = project_usage.stored_bytes + excluded.stored_bytes \
         WHERE project_usage.stored_bytes <= $3 - excluded.stored_bytes";
    let values = [project.into(), more.into(), limit.into()];
    let statement = Statement::from_sql_and_values(transaction.get_database_backend(), sql, values);
    Ok(transaction.execute_raw(statement).await?.rows_affected() == 1)
}

/// Releases the bytes of new garbage from the quotas of their projects.
pub(super) async fn release(
    transaction: &impl ConnectionTrait,
    blobs: &[blob::Model],
) -> Result<(), DbErr> {
    // In one order, for the same reason as above.
    let mut freed = BTreeMap::<&str, i64>::new();
    for blob in blobs.iter().filter(|blob| blob.charged != 0) {
        if let Some(project) = &blob.project_id {
            *freed.entry(project).or_default() += blob.charged;
        }
    }
    for (project, bytes) in freed {
        subtract(transaction, project, bytes).await?;
    }
    Ok(())
}

/// Subtracts from the usage of a project. A usage smaller than that was miscounted before; it becomes zero, since no
/// such error may keep blobs from being abandoned, and the log reports it.
async fn subtract(
    transaction: &impl ConnectionTrait,
    project: &str,
    bytes: i64,
) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    let sql = "UPDATE project_usage SET stored_bytes = stored_bytes - $2 \
               WHERE project_id = $1 AND stored_bytes >= $2";
    let subtract = Statement::from_sql_and_values(backend, sql, [project.into(), bytes.into()]);
    if transaction.execute_raw(subtract).await?.rows_affected() == 1 || bytes == 0 {
        return Ok(());
    }
    tracing::error!(
        project,
        bytes,
        "the usage of a project is less than the bytes it releases; `media-migrate check --repair` counts it again"
    );
    metrics().background_error(BackgroundTask::Account);
    let sql = "UPDATE project_usage SET stored_bytes = 0 WHERE project_id = $1";
    let reset = Statement::from_sql_and_values(backend, sql, [project.into()]);
    transaction.execute_raw(reset).await.map(drop)
}
