//! Removes what nobody needs: from storage first, from the table after.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Statement, sea_query::Expr,
};
use tokio::time::{Instant, timeout};

use super::{BlobLedger, into_garbage};
use crate::{
    blob_store::{BlobKey, BlobStore, StorageError},
    database::is_unavailable,
    entities::blob::{self, BlobStatus},
    ids::BlobId,
};

/// The most blobs that one turn of the collector takes.
pub const COLLECT_BATCH: u64 = 200;
/// How long an object that could not be removed is left alone.
const STUCK_DELAY: Duration = Duration::from_mins(1);
/// How long what a job's attempts have left is kept for the next one: storage may have forgotten it by
/// itself after that.
const KEPT_FOR: Duration = Duration::from_hours(7 * 24);
/// How long one turn of the collector goes on taking more.
const COLLECT_TIME: Duration = Duration::from_secs(45);
/// How many objects are removed at once, and how long one may take.
const REMOVALS_AT_ONCE: usize = 16;
const REMOVAL_LIMIT: Duration = Duration::from_secs(30);

impl BlobLedger {
    /// One turn of the collector: declares abandoned blobs garbage, then removes what garbage is
    /// due, from storage first and from the table after; what was given up is looked for once more
    /// before it leaves the table. Returns how many it dealt with; as many as [`COLLECT_BATCH`] mean
    /// that there may be more. Safe to run in several programs at once.
    pub async fn collect(&self, store: &Arc<dyn BlobStore>) -> Result<u64, CollectError> {
        // A row that fails there, or here, keeps no other from being collected.
        let abandoned = self.declare_abandoned().await;
        let now = self.clock.now();
        let due = blob::Entity::find()
            .filter(Expr::cust("status = 'garbage'"))
            .filter(blob::Column::CollectAfter.lte(now))
            .order_by_asc(blob::Column::CollectAfter)
            .limit(COLLECT_BATCH)
            .all(self.database.reader())
            .await?;
        let started = Instant::now();
        let mut dealt_with = 0;
        let mut result = Ok(());
        for blobs in due.chunks(REMOVALS_AT_ONCE) {
            let (removed, failure) = self.remove(blobs, store).await?;
            dealt_with += removed;
            // A store that is away would fail for the rest, too.
            let is_away = matches!(failure, Some(StorageError::Unavailable(_)));
            result = result.and(failure.map_or(Ok(()), Err));
            if is_away || started.elapsed() > COLLECT_TIME {
                break;
            }
        }
        abandoned?;
        result?;
        Ok(dealt_with)
    }

    /// Removes a few objects, and records the result at once. Returns how many were dealt with, and the
    /// first failure; an object that could not be removed is tried again later.
    async fn remove(
        &self,
        blobs: &[blob::Model],
        store: &Arc<dyn BlobStore>,
    ) -> Result<(u64, Option<StorageError>), CollectError> {
        let removals = blobs.iter().map(|blob| async move {
            let key = BlobKey::from_stored(&blob.storage_key);
            let deleted = timeout(REMOVAL_LIMIT, store.delete(&key)).await;
            let slow = || StorageError::Unavailable("an object is not removed in time".to_owned());
            (blob, deleted.unwrap_or_else(|_| Err(slow())))
        });
        let now = self.clock.now();
        let (mut removed, mut watched, mut stuck) = (Vec::new(), Vec::new(), Vec::new());
        let mut failure = None;
        for (blob, deleted) in join_all(removals).await {
            match deleted {
                Ok(()) if blob.expires_at.is_some_and(|until| until > now) => watched.push(blob.id),
                Ok(()) => removed.push(blob.id),
                Err(error) => {
                    stuck.push(blob.id);
                    failure = failure.or(Some(error));
                }
            }
        }
        self.put_off(stuck, Expr::value(now + STUCK_DELAY)).await?;
        let second_look = Expr::col(blob::Column::ExpiresAt);
        let watched = self.put_off(watched, second_look).await?;
        let removed = self.forget(removed).await?;
        Ok((watched + removed, failure))
    }

    /// Takes removed objects out of the table.
    async fn forget(&self, removed: Vec<BlobId>) -> Result<u64, DbErr> {
        if removed.is_empty() {
            return Ok(0);
        }
        let delete = blob::Entity::delete_many()
            .filter(blob::Column::Id.is_in(removed))
            .filter(blob::Column::Status.eq(BlobStatus::Garbage));
        self.database.write_query(&delete).await
    }

    /// Leaves garbage for later.
    async fn put_off(&self, ids: Vec<BlobId>, until: impl Into<Expr>) -> Result<u64, DbErr> {
        if ids.is_empty() {
            return Ok(0);
        }
        let defer = blob::Entity::update_many()
            .col_expr(blob::Column::CollectAfter, until.into())
            .filter(blob::Column::Id.is_in(ids))
            .filter(blob::Column::Status.eq(BlobStatus::Garbage));
        self.database.write_query(&defer).await
    }

    /// Finds staged blobs whose attempt is over or whose upload stopped renewing.
    async fn declare_abandoned(&self) -> Result<(), DbErr> {
        let now = self.clock.now();
        let candidates = format!(
            "SELECT b.id, b.updated_at FROM blobs b WHERE b.status = 'staged' AND ( \
               (b.job_id IS NULL AND b.expires_at < $1) OR \
               (b.job_id IS NOT NULL AND NOT EXISTS ( \
                 SELECT 1 FROM jobs j WHERE j.id = b.job_id AND ( \
                   (j.attempt = b.attempt AND j.status = 'running') OR \
                   (b.checkpoint IS NOT NULL AND b.updated_at > $2 \
                     AND j.status IN ('pending','running','scheduled','paused')))))) \
             LIMIT {COLLECT_BATCH}"
        );
        // Read first: most turns find nothing, and then nothing waits for the write lock.
        let backend = self.database.backend();
        let found = self
            .database
            .reader()
            .query_all_raw(Statement::from_sql_and_values(
                backend,
                &candidates,
                [now.into(), (now - KEPT_FOR).into()],
            ))
            .await?;
        if found.is_empty() {
            return Ok(());
        }
        // As they were then: one may have been renewed or taken over since.
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
        let Err(error) = self.abandon(any, now).await else {
            return Ok(());
        };
        if is_unavailable(&error) {
            return Err(error);
        }
        // One of them fails: the others are abandoned without it.
        for one in unchanged {
            if let Err(error) = self.abandon(one, now).await {
                tracing::warn!(%error, "an abandoned blob could not be given up; it is tried again");
            }
        }
        Err(error)
    }

    /// Makes staged blobs garbage that are removed after the grace period.
    async fn abandon(&self, condition: Condition, now: DateTime<Utc>) -> Result<(), DbErr> {
        let staged = blob::Entity::update_many()
            .filter(condition)
            .filter(blob::Column::Status.eq(BlobStatus::Staged));
        let collect_after = now + self.abandoned_grace;
        let garbage = into_garbage(staged, now, collect_after, Some(self.second_look(now)));
        self.throw_away(garbage).await.map(drop)
    }
}

/// Why the collector stopped early; it goes on where it was at its next turn.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The tables could not be read or written.
    #[error(transparent)]
    Database(#[from] DbErr),
    /// An object could not be removed.
    #[error(transparent)]
    Storage(#[from] StorageError),
}
