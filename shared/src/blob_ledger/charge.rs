//! What projects store: counted with each blob before its bytes are written, so that no number of
//! writers at once gets past the limit.

use std::collections::BTreeMap;

use sea_orm::{
    ColumnTrait, ConnectionTrait, DbErr, ExprTrait as _, QueryFilter, Statement, sea_query::Expr,
};

use super::{BlobLedger, StagedBlob, staged};
use crate::{
    database::LostRace,
    entities::blob,
    metrics::{Work, figures},
};

/// Why bytes were not counted for a project.
#[derive(Debug, thiserror::Error)]
pub enum ChargeError {
    /// With them it would store more than it may.
    #[error("the project may store {limit} bytes, and that is not enough for this")]
    OverLimit {
        /// What it may store, in bytes.
        limit: u64,
    },
    /// The blob is no longer the writer's.
    #[error("the blob is another writer's by now, or was given up")]
    BlobLost,
    /// The tables could not be read or written.
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl LostRace for ChargeError {
    fn lost_race(&self) -> bool {
        matches!(self, Self::Database(error) if error.lost_race())
    }
}

impl BlobLedger {
    /// Counts more bytes of a staged blob for its project, or fewer.
    pub async fn charge(&self, blob: &StagedBlob, more: i64) -> Result<(), ChargeError> {
        let Some(project) = &blob.project else {
            return Ok(());
        };
        let limit = self.most_stored.unwrap_or(i64::MAX.unsigned_abs());
        let charged = staged(blob.owner)
            .col_expr(
                blob::Column::Charged,
                Expr::col(blob::Column::Charged).add(more),
            )
            .filter(blob::Column::Id.eq(blob.id));
        let project = project.clone();
        self.database
            .transaction(move |transaction| {
                // The blob before its project, as everywhere, so that no two transactions wait for each
                // other.
                let (charged, project) = (charged.clone(), project.clone());
                Box::pin(async move {
                    if charged.exec(transaction).await?.rows_affected != 1 {
                        return Err(ChargeError::BlobLost);
                    }
                    if count(transaction, &project, more, limit).await? {
                        Ok(())
                    } else {
                        Err(ChargeError::OverLimit { limit })
                    }
                })
            })
            .await
    }

    /// How many bytes count for a project: of its media, and of what is being written.
    pub async fn stored_by(&self, project: &str) -> Result<u64, DbErr> {
        let sql = "SELECT stored_bytes FROM project_usage WHERE project_id = $1";
        let reader = self.database.reader();
        let statement =
            Statement::from_sql_and_values(self.database.backend(), sql, [project.into()]);
        let row = reader.query_one_raw(statement).await?;
        let bytes = row.map(|row| row.try_get_by_index::<i64>(0)).transpose()?;
        Ok(bytes.and_then(|b| u64::try_from(b).ok()).unwrap_or(0))
    }
}

/// Says whether there was room.
async fn count(
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

/// Counts blobs that have just become garbage for their projects no longer.
pub(super) async fn discharge(
    transaction: &impl ConnectionTrait,
    blobs: &[blob::Model],
) -> Result<(), DbErr> {
    // In one order, for the same reason.
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

/// Subtracts from the usage of a project. A usage that is smaller than that was miscounted before: it ends
/// at zero, since no error of the accounts may keep bytes from being given up, and the log says so.
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
        "the usage of a project is less than what it gives up; `media-migrate check --repair` counts it anew"
    );
    figures().troubled(Work::Account);
    let sql = "UPDATE project_usage SET stored_bytes = 0 WHERE project_id = $1";
    let reset = Statement::from_sql_and_values(backend, sql, [project.into()]);
    transaction.execute_raw(reset).await.map(drop)
}
