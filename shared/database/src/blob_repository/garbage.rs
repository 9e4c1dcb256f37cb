//! The statements of the collector.

use std::time::Duration;

use chrono::{DateTime, Utc};
use media_domain::{ids::BlobId, job::JobStatus};
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Statement, sea_query::Expr,
};

use super::{BlobRepository, into_garbage};
use crate::{
    entities::blob::{self, BlobStatus},
    is_unavailable,
};

/// The most blobs that one turn of the collector takes.
pub const COLLECT_BATCH: u64 = 200;
/// The time for which a checkpoint is kept for the next attempt. Storage may have deleted the bytes by itself after
/// that.
const CHECKPOINT_RETENTION: Duration = Duration::from_hours(7 * 24);
/// The delay after which an object that could not be deleted is tried again.
const RETRY_DELAY: Duration = Duration::from_mins(1);

/// The result of deleting the objects of some garbage.
#[derive(Clone, Debug, Default)]
pub struct Deletions {
    /// Blobs whose objects are gone.
    pub done: Vec<BlobId>,
    /// Blobs whose objects are gone, but whose writers may write them again.
    pub recheck: Vec<BlobId>,
    /// Blobs whose objects could not be deleted.
    pub failed: Vec<BlobId>,
}

impl BlobRepository {
    /// The garbage that is due now, the oldest first.
    pub async fn find_garbage(&self) -> Result<Vec<blob::Model>, DbErr> {
        blob::Entity::find()
            .filter(Expr::cust("status = 'garbage'"))
            .filter(blob::Column::CollectAfter.lte(self.clock.now()))
            .order_by_asc(blob::Column::CollectAfter)
            .limit(COLLECT_BATCH)
            .all(self.database.reader())
            .await
    }

    /// Whether the writer of garbage may still be writing.
    pub fn needs_recheck(&self, garbage: &blob::Model) -> bool {
        garbage
            .expires_at
            .is_some_and(|recheck_after| recheck_after > self.clock.now())
    }

    /// Records which objects were deleted. Returns the number of blobs that need nothing more for now.
    pub async fn record_deletions(&self, deletions: Deletions) -> Result<u64, DbErr> {
        let retry_at = Expr::value(self.clock.now() + RETRY_DELAY);
        self.defer(deletions.failed, retry_at).await?;
        let recheck_after = Expr::col(blob::Column::ExpiresAt);
        let deferred = self.defer(deletions.recheck, recheck_after).await?;
        Ok(deferred + self.delete(deletions.done).await?)
    }

    async fn delete(&self, ids: Vec<BlobId>) -> Result<u64, DbErr> {
        if ids.is_empty() {
            return Ok(0);
        }
        let delete = blob::Entity::delete_many()
            .filter(blob::Column::Id.is_in(ids))
            .filter(blob::Column::Status.eq(BlobStatus::Garbage));
        self.database.write_query(&delete).await
    }

    async fn defer(&self, ids: Vec<BlobId>, until: impl Into<Expr>) -> Result<u64, DbErr> {
        if ids.is_empty() {
            return Ok(0);
        }
        let defer = blob::Entity::update_many()
            .col_expr(blob::Column::CollectAfter, until.into())
            .filter(blob::Column::Id.is_in(ids))
            .filter(blob::Column::Status.eq(BlobStatus::Garbage));
        self.database.write_query(&defer).await
    }

    /// Abandons the staged blobs whose attempt is over or whose upload stopped renewing. Their objects are deleted
    /// after the grace period.
    pub async fn abandon_expired(&self) -> Result<(), DbErr> {
        let now = self.clock.now();
        let unfinished = JobStatus::UNFINISHED_SQL;
        let expired = format!(
            "SELECT b.id, b.updated_at FROM blobs b WHERE b.status = 'staged' AND ( \
               (b.job_id IS NULL AND b.expires_at < $1) OR \
               (b.job_id IS NOT NULL AND NOT EXISTS ( \
                 SELECT 1 FROM jobs j WHERE j.id = b.job_id AND ( \
                   (j.attempt = b.attempt AND j.status = 'running') OR \
                   (b.checkpoint IS NOT NULL AND b.updated_at > $2 \
                     AND j.status IN {unfinished}))))) \
             LIMIT {COLLECT_BATCH}"
        );
        // Read first: most turns find nothing, and then nothing waits for the write lock.
        let values = [now.into(), (now - CHECKPOINT_RETENTION).into()];
        let expired = Statement::from_sql_and_values(self.database.backend(), &expired, values);
        let found = self.database.reader().query_all_raw(expired).await?;
        if found.is_empty() {
            return Ok(());
        }
        // Only unchanged ones: one may have been renewed or taken over since.
        let mut unchanged = Vec::with_capacity(found.len());
        for row in &found {
            let id = blob::Column::Id.eq(row.try_get::<BlobId>("", "id")?);
            let at = row.try_get::<DateTime<Utc>>("", "updated_at")?;
            unchanged.push(Condition::all().add(id).add(blob::Column::UpdatedAt.eq(at)));
        }
        let any = unchanged
            .iter()
            .cloned()
            .fold(Condition::any(), Condition::add);
        let Err(error) = self.abandon_later(any, now).await else {
            return Ok(());
        };
        if is_unavailable(&error) {
            return Err(error);
        }
        // One of them fails: the others are abandoned individually.
        for one in unchanged {
            if let Err(error) = self.abandon_later(one, now).await {
                tracing::warn!(%error, "an expired blob could not be abandoned; it is tried again");
            }
        }
        Err(error)
    }

    /// Makes staged blobs garbage that is collected after the grace period.
    async fn abandon_later(&self, condition: Condition, now: DateTime<Utc>) -> Result<(), DbErr> {
        let staged = blob::Entity::update_many()
            .filter(condition)
            .filter(blob::Column::Status.eq(BlobStatus::Staged));
        let collect_after = now + self.abandoned_grace;
        let recheck_after = Some(self.recheck_after(now));
        let garbage = into_garbage(staged, now, collect_after, recheck_after);
        self.run_into_garbage(garbage).await.map(drop)
    }
}
