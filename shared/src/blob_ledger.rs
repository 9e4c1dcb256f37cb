//! The book of stored objects, and the only writer of the table `blobs`: what is being written,
//! what a media points to, and what the collector may remove.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter,
    QueryOrder, QuerySelect, Statement, UpdateMany,
    sea_query::{Expr, OnConflict},
};
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, timeout};

use crate::{
    blob_store::{BlobKey, BlobStore, Prefix, StorageError},
    clock::Clock,
    database::Database,
    entities::blob::{self, BlobStatus},
    ids::BlobId,
    job_ledger::Lease,
};

/// How long an upload holds its blob between two signs of life.
const UPLOAD_HOLD: Duration = Duration::from_mins(2);
/// The most blobs that one turn of the collector takes.
pub const COLLECT_BATCH: u64 = 200;
/// How long an object that could not be removed is left alone.
const STUCK_DELAY: Duration = Duration::from_mins(1);
/// How long what a job's attempts have left is kept for the next one: storage may have forgotten it by
/// itself after that.
const KEPT_FOR: Duration = Duration::from_hours(7 * 24);
/// How many graces after a blob was given up its object is removed once more: a request of its writer
/// may have been under way in the store, or its writer frozen for longer than a grace.
const GRACES_UNTIL_SECOND_LOOK: u32 = 10;
/// And no earlier than that: longer than a store may take over any one request.
const SECOND_LOOK_MINIMUM: Duration = Duration::from_mins(3);
/// How long one turn of the collector goes on taking more.
const COLLECT_TIME: Duration = Duration::from_secs(45);
/// How many objects are removed at once, and how long one may take.
const REMOVALS_AT_ONCE: usize = 16;
const REMOVAL_LIMIT: Duration = Duration::from_secs(30);

/// Who writes a blob, and so decides how long it stays staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobOwner {
    /// An attempt at a job: staged for as long as the attempt holds its lease.
    Attempt(Lease),
    /// An upload: staged until it is not renewed.
    Upload,
}

/// A blob that may be written now.
#[derive(Clone, Debug)]
pub struct StagedBlob {
    /// Its name in the table.
    pub id: BlobId,
    /// Its name in storage.
    pub key: BlobKey,
    /// Who may write it: a blob that an attempt has left to the next one is no longer its own.
    pub owner: BlobOwner,
}

/// How far the attempts of a job have come with an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The bytes that storage has.
    pub prefix: Prefix,
    /// The state of SHA-256 after them, in hexadecimal digits.
    pub sha256_state: String,
    /// What tells whether the origin still has the same bytes; the worker's to read.
    pub origin: serde_json::Value,
}

/// The book of stored objects.
#[derive(Clone, Debug)]
pub struct BlobLedger {
    database: Database,
    clock: Clock,
    /// How long an abandoned blob is left alone: its writer may be frozen rather than dead, and
    /// could create the file after it was removed.
    abandoned_grace: Duration,
}

impl BlobLedger {
    /// Opens the book. `abandoned_grace` should be about as long as a lease.
    pub fn new(database: Database, clock: Clock, abandoned_grace: Duration) -> Self {
        Self {
            database,
            clock,
            abandoned_grace,
        }
    }

    /// Enters a new blob, before its first byte is written.
    pub async fn stage(&self, owner: BlobOwner) -> Result<StagedBlob, DbErr> {
        let id = BlobId::generate();
        let key = BlobKey::of(id);
        let now = self.clock.now();
        let (job_id, attempt, expires_at) = match owner {
            BlobOwner::Attempt(lease) => (Some(lease.job_id), Some(lease.attempt), None),
            BlobOwner::Upload => (None, None, Some(now + UPLOAD_HOLD)),
        };
        let entry = blob::ActiveModel {
            id: Set(id),
            storage_key: Set(key.as_str().to_owned()),
            status: Set(BlobStatus::Staged),
            job_id: Set(job_id),
            attempt: Set(attempt),
            expires_at: Set(expires_at),
            collect_after: Set(None),
            checkpoint: Set(None),
            created_at: Set(now),
            updated_at: Set(now),
        };
        blob::Entity::insert(entry)
            .exec_without_returning(self.database.writer())
            .await?;
        Ok(StagedBlob { id, key, owner })
    }

    /// Keeps an upload's blob from the collector for another while. To be called every
    /// [`BlobLedger::renew_every`]. Says whether the blob is still there to be kept.
    pub async fn renew(&self, id: BlobId) -> Result<bool, DbErr> {
        let now = self.clock.now();
        let renewed = blob::Entity::update_many()
            .col_expr(blob::Column::ExpiresAt, Expr::value(now + UPLOAD_HOLD))
            .col_expr(blob::Column::UpdatedAt, Expr::value(now))
            .filter(blob::Column::Id.eq(id))
            .filter(blob::Column::Status.eq(BlobStatus::Staged))
            .exec(self.database.writer())
            .await?;
        Ok(renewed.rows_affected == 1)
    }

    /// How often an upload should renew.
    pub fn renew_every() -> Duration {
        UPLOAD_HOLD / 4
    }

    /// Writes down how far an attempt has come. Says whether the blob is still the attempt's own.
    pub async fn keep(&self, blob: &StagedBlob, checkpoint: &Checkpoint) -> Result<bool, DbErr> {
        let document = serde_json::to_value(checkpoint).map_err(|e| DbErr::Json(e.to_string()))?;
        let kept = staged(blob.owner)
            .col_expr(blob::Column::Checkpoint, Expr::value(document))
            .col_expr(blob::Column::UpdatedAt, Expr::value(self.clock.now()))
            .filter(blob::Column::Id.eq(blob.id))
            .exec(self.database.writer())
            .await?;
        Ok(kept.rows_affected == 1)
    }

    /// Takes over what an earlier attempt at the same job has left, if it left anything to go on
    /// from.
    pub async fn take_over(&self, lease: Lease) -> Result<Option<(StagedBlob, Checkpoint)>, DbErr> {
        let sql = "UPDATE blobs SET attempt = $1, updated_at = $2 WHERE id = ( \
               SELECT id FROM blobs WHERE status = 'staged' AND job_id = $3 AND attempt < $1 \
                 AND checkpoint IS NOT NULL ORDER BY id DESC LIMIT 1) \
             AND status = 'staged' AND attempt < $1 RETURNING *";
        let values = [
            lease.attempt.into(),
            self.clock.now().into(),
            lease.job_id.into(),
        ];
        let statement = Statement::from_sql_and_values(self.database.backend(), sql, values);
        let rows = self.database.writer().query_all_raw(statement).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let row = blob::Model::from_query_result(row, "")?;
        let staged = StagedBlob {
            id: row.id,
            key: BlobKey::from_stored(&row.storage_key),
            owner: BlobOwner::Attempt(lease),
        };
        let checkpoint = row.checkpoint.map(serde_json::from_value::<Checkpoint>);
        match checkpoint.and_then(Result::ok) {
            Some(checkpoint) => Ok(Some((staged, checkpoint))),
            // Of a program of another version.
            None => self.discard(&staged).await.map(|_| None),
        }
    }

    /// Whether a blob is still its writer's.
    pub async fn is_held(&self, blob: &StagedBlob) -> Result<bool, DbErr> {
        let held = staged(blob.owner)
            .col_expr(blob::Column::UpdatedAt, Expr::value(self.clock.now()))
            .filter(blob::Column::Id.eq(blob.id))
            .exec(self.database.writer())
            .await?;
        Ok(held.rows_affected == 1)
    }

    /// Gives up a staged blob whose writer has stopped: the collector may take it at once. Says
    /// whether it was still the writer's to give up.
    pub async fn discard(&self, blob: &StagedBlob) -> Result<bool, DbErr> {
        self.give_up(staged(blob.owner).filter(blob::Column::Id.eq(blob.id)))
            .await
            .map(|given_up| given_up > 0)
    }

    /// Gives up whatever an attempt that was stopped has staged, except what the next one can go on
    /// from.
    pub async fn release(&self, lease: Lease) -> Result<(), DbErr> {
        let staged = staged(BlobOwner::Attempt(lease));
        self.give_up(staged.filter(blob::Column::Checkpoint.is_null()))
            .await
            .map(|_| ())
    }

    async fn give_up(&self, blobs: UpdateMany<blob::Entity>) -> Result<u64, DbErr> {
        let now = self.clock.now();
        let given_up = into_garbage(blobs, now, now, Some(self.second_look(now)))
            .exec(self.database.writer())
            .await?;
        Ok(given_up.rows_affected)
    }

    /// When the object of a blob that is given up now is removed for good.
    fn second_look(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + (self.abandoned_grace * GRACES_UNTIL_SECOND_LOOK).max(SECOND_LOOK_MINIMUM)
    }

    /// Gives up a blob whose attempt turned out to be over. Its writer may have been frozen for so
    /// long that the collector has forgotten the blob, and then have written on.
    pub async fn disown(&self, blob: &StagedBlob) -> Result<(), DbErr> {
        self.discard(blob).await?;
        self.watch(blob).await
    }

    /// Has the collector look for a blob that it may have forgotten already.
    pub async fn watch(&self, blob: &StagedBlob) -> Result<(), DbErr> {
        let now = self.clock.now();
        let entry = blob::ActiveModel {
            id: Set(blob.id),
            storage_key: Set(blob.key.as_str().to_owned()),
            status: Set(BlobStatus::Garbage),
            job_id: Set(None),
            attempt: Set(None),
            expires_at: Set(Some(self.second_look(now))),
            collect_after: Set(Some(now)),
            checkpoint: Set(None),
            created_at: Set(now),
            updated_at: Set(now),
        };
        blob::Entity::insert(entry)
            .on_conflict(OnConflict::new().do_nothing().to_owned())
            .exec_without_returning(self.database.writer())
            .await?;
        Ok(())
    }

    /// One turn of the collector: declares abandoned blobs garbage, then removes what garbage is
    /// due, from storage first and from the table after; what was given up is looked for once more
    /// before it leaves the table. Returns how many it dealt with; as many as [`COLLECT_BATCH`] mean
    /// that there may be more. Safe to run in several programs at once.
    pub async fn collect(&self, store: &Arc<dyn BlobStore>) -> Result<u64, CollectError> {
        self.declare_abandoned().await?;
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
        for blobs in due.chunks(REMOVALS_AT_ONCE) {
            dealt_with += self.remove(blobs, store).await?;
            if started.elapsed() > COLLECT_TIME {
                break;
            }
        }
        Ok(dealt_with)
    }

    /// Removes a few objects, and writes down at once what came of it. An error means that more would
    /// fail now.
    async fn remove(
        &self,
        blobs: &[blob::Model],
        store: &Arc<dyn BlobStore>,
    ) -> Result<u64, CollectError> {
        let removals = blobs.iter().map(|blob| async move {
            let key = BlobKey::from_stored(&blob.storage_key);
            let deleted = timeout(REMOVAL_LIMIT, store.delete(&key)).await;
            let slow = || StorageError::Unavailable("an object is not removed in time".to_owned());
            (blob, deleted.unwrap_or_else(|_| Err(slow())))
        });
        let now = self.clock.now();
        let (mut removed, mut watched, mut stuck) = (Vec::new(), Vec::new(), Vec::new());
        let mut result = Ok(());
        for (blob, deleted) in join_all(removals).await {
            match deleted {
                Ok(()) if blob.expires_at.is_some_and(|until| until > now) => watched.push(blob.id),
                Ok(()) => removed.push(blob.id),
                Err(error) => {
                    stuck.push(blob.id);
                    result = result.and(Err(error));
                }
            }
        }
        self.put_off(stuck, Expr::value(now + STUCK_DELAY)).await?;
        let second_look = Expr::col(blob::Column::ExpiresAt);
        let watched = self.put_off(watched, second_look).await?;
        let removed = self.forget(removed).await?;
        result?;
        Ok(watched + removed)
    }

    /// Takes removed objects out of the table.
    async fn forget(&self, removed: Vec<BlobId>) -> Result<u64, DbErr> {
        if removed.is_empty() {
            return Ok(0);
        }
        let forgotten = blob::Entity::delete_many()
            .filter(blob::Column::Id.is_in(removed))
            .filter(blob::Column::Status.eq(BlobStatus::Garbage))
            .exec(self.database.writer())
            .await?;
        Ok(forgotten.rows_affected)
    }

    /// Leaves garbage for later.
    async fn put_off(&self, ids: Vec<BlobId>, until: impl Into<Expr>) -> Result<u64, DbErr> {
        if ids.is_empty() {
            return Ok(0);
        }
        let put_off = blob::Entity::update_many()
            .col_expr(blob::Column::CollectAfter, until.into())
            .filter(blob::Column::Id.is_in(ids))
            .filter(blob::Column::Status.eq(BlobStatus::Garbage))
            .exec(self.database.writer())
            .await?;
        Ok(put_off.rows_affected)
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
        let mut unchanged = Condition::any();
        for row in &found {
            let id = blob::Column::Id.eq(row.try_get::<BlobId>("", "id")?);
            let at = row.try_get::<DateTime<Utc>>("", "updated_at")?;
            let same = Condition::all().add(id).add(blob::Column::UpdatedAt.eq(at));
            unchanged = unchanged.add(same);
        }
        let abandoned = blob::Entity::update_many()
            .filter(unchanged)
            .filter(blob::Column::Status.eq(BlobStatus::Staged));
        let collect_after = now + self.abandoned_grace;
        into_garbage(abandoned, now, collect_after, Some(self.second_look(now)))
            .exec(self.database.writer())
            .await?;
        Ok(())
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

/// Makes a staged blob live, within the transaction that makes its media. Says whether it was
/// still staged; if not, the collector had already given it up.
pub(crate) async fn make_live(
    transaction: &impl ConnectionTrait,
    id: BlobId,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let updated = blob::Entity::update_many()
        .col_expr(blob::Column::Status, Expr::value(BlobStatus::Live))
        .col_expr(blob::Column::ExpiresAt, Expr::value(None::<DateTime<Utc>>))
        .col_expr(blob::Column::UpdatedAt, Expr::value(now))
        .filter(blob::Column::Id.eq(id))
        .filter(blob::Column::Status.eq(BlobStatus::Staged))
        .exec(transaction)
        .await?;
    Ok(updated.rows_affected == 1)
}

/// Makes a live blob garbage, within the transaction that takes its media away.
pub(crate) async fn retire(
    transaction: &impl ConnectionTrait,
    id: BlobId,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let live = blob::Entity::update_many().filter(blob::Column::Id.eq(id));
    into_garbage(live, now, now, None).exec(transaction).await?;
    Ok(())
}

/// The staged blobs of a writer, as it may write about them.
fn staged(owner: BlobOwner) -> UpdateMany<blob::Entity> {
    let staged = blob::Entity::update_many().filter(Expr::cust("status = 'staged'"));
    match owner {
        BlobOwner::Attempt(lease) => staged
            .filter(blob::Column::JobId.eq(lease.job_id))
            .filter(blob::Column::Attempt.eq(lease.attempt)),
        BlobOwner::Upload => staged.filter(blob::Column::JobId.is_null()),
    }
}

/// Garbage that is due at `collect_after`, and once more at `second_look` if its writer may still
/// write.
fn into_garbage(
    blobs: UpdateMany<blob::Entity>,
    now: DateTime<Utc>,
    collect_after: DateTime<Utc>,
    second_look: Option<DateTime<Utc>>,
) -> UpdateMany<blob::Entity> {
    blobs
        .col_expr(blob::Column::Status, Expr::value(BlobStatus::Garbage))
        .col_expr(blob::Column::CollectAfter, Expr::value(collect_after))
        .col_expr(blob::Column::ExpiresAt, Expr::value(second_look))
        .col_expr(blob::Column::UpdatedAt, Expr::value(now))
}
