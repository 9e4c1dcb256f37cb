//! Deletes expired media.

use media_domain::ids::BlobId;
use sea_orm::{ConnectionTrait as _, DatabaseBackend, DbErr, Statement};

use super::MediaRepository;
use crate::blob_repository;

/// The most media that one turn deletes.
pub const EXPIRY_BATCH: u64 = 500;

impl MediaRepository {
    /// Deletes expired media, the longest expired first, and returns their bytes to the quotas; the collector deletes
    /// their objects. Returns their number; as many as [`EXPIRY_BATCH`] mean that there may be more. Safe to run in
    /// several programs at once.
    pub async fn delete_expired(&self) -> Result<u64, DbErr> {
        let now = self.clock.now();
        let backend = self.database.backend();
        // Read first: most turns find nothing, and then nothing waits for the write lock.
        let sql = "SELECT 1 FROM medias WHERE expires_at <= $1 LIMIT 1";
        let any = Statement::from_sql_and_values(backend, sql, [now.into()]);
        if self.database.reader().query_one_raw(any).await?.is_none() {
            return Ok(0);
        }
        let skip_locked = match backend {
            DatabaseBackend::Postgres => "FOR UPDATE SKIP LOCKED",
            _ => "",
        };
        let sql = format!(
            "DELETE FROM medias WHERE id IN ( \
               SELECT id FROM medias WHERE expires_at <= $1 \
               ORDER BY expires_at, id LIMIT {EXPIRY_BATCH} {skip_locked}) \
             RETURNING blob_id"
        );
        let delete = Statement::from_sql_and_values(backend, sql, [now.into()]);
        self.database
            .transaction(move |transaction| {
                let delete = delete.clone();
                Box::pin(async move {
                    let rows = transaction.query_all_raw(delete).await?;
                    let blobs: Result<Vec<BlobId>, DbErr> =
                        rows.iter().map(|row| row.try_get("", "blob_id")).collect();
                    blob_repository::mark_garbage(transaction, &blobs?, now).await?;
                    Ok(rows.len() as u64)
                })
            })
            .await
    }
}
