//! The repository of stored objects, and the only writer of the table `blobs`.
//!
//! A blob is `staged` before its first byte is written, `live` while a media refers to it, and `garbage` until the
//! collector has deleted its object. The ways out:
//!
//! | verb | from | to |
//! | --- | --- | --- |
//! | abandon | staged | garbage, whose object is deleted once more at `recheck_after`: its writer may still be writing |
//! | mark garbage | live | garbage |
//! | delete | garbage | no row: the object is gone |
//! | defer | garbage | garbage that the collector looks at later |

use std::time::Duration;

use chrono::{DateTime, Utc};
use media_domain::{
    blob::{BlobKey, BlobOwner, Checkpoint, StagedBlob},
    clock::Clock,
    ids::BlobId,
    job::Lease,
};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, Statement,
    UpdateMany,
    sea_query::{Expr, OnConflict},
};

use crate::connection::Batches;
use crate::{
    Database,
    entities::blob::{self, BlobStatus},
};

mod garbage;
mod quota;

pub use garbage::{COLLECT_BATCH, Deletions};
pub use quota::QuotaError;

/// The time for which an upload reserves its blob without a renewal.
const UPLOAD_RESERVATION: Duration = Duration::from_mins(2);
/// The number of grace periods after which the object of an abandoned blob is deleted once more: a request of its
/// writer may still be under way in the store, or the writer may be frozen for longer than one grace period.
const RECHECK_GRACES: u32 = 10;
/// The least time until then: longer than a store may take for any one request.
const MIN_RECHECK: Duration = Duration::from_mins(3);

/// The repository of stored objects.
#[derive(Clone, Debug)]
pub struct BlobRepository {
    database: Database,
    clock: Clock,
    insertions: Batches<blob::ActiveModel, ()>,
    /// The time after which the object of an abandoned blob is deleted: its writer may be frozen rather than dead, and
    /// could create the file after it was deleted.
    abandoned_grace: Duration,
    /// The most bytes that one project may store.
    max_stored_bytes: Option<u64>,
}

impl BlobRepository {
    /// Opens the repository. `abandoned_grace` should be about as long as a lease.
    pub fn new(database: Database, clock: Clock, abandoned_grace: Duration) -> Self {
        Self {
            insertions: Batches::new(&database, |database, blobs| {
                Box::pin(insert(database, blobs))
            }),
            database,
            clock,
            abandoned_grace,
            max_stored_bytes: None,
        }
    }

    /// Limits the bytes that one project may store.
    #[must_use]
    pub fn max_stored_bytes(self, max_stored_bytes: Option<u64>) -> Self {
        Self {
            max_stored_bytes,
            ..self
        }
    }

    /// Stages a new blob, before its first byte is written.
    pub async fn stage(
        &self,
        owner: BlobOwner,
        project: Option<&str>,
    ) -> Result<StagedBlob, DbErr> {
        let id = BlobId::generate();
        let key = BlobKey::of(id);
        let now = self.clock.now();
        let (job_id, attempt, expires_at) = match owner {
            BlobOwner::Attempt(lease) => (Some(lease.job_id), Some(lease.attempt), None),
            BlobOwner::Upload => (None, None, Some(now + UPLOAD_RESERVATION)),
        };
        let row = blob::ActiveModel {
            id: Set(id),
            storage_key: Set(key.as_str().to_owned()),
            status: Set(BlobStatus::Staged),
            job_id: Set(job_id),
            attempt: Set(attempt),
            expires_at: Set(expires_at),
            collect_after: Set(None),
            checkpoint: Set(None),
            project_id: Set(project.map(str::to_owned)),
            charged: Set(0),
            created_at: Set(now),
            updated_at: Set(now),
        };
        self.insertions.submit(row).await?;
        Ok(StagedBlob {
            id,
            key,
            owner,
            project: project.map(str::to_owned),
            reserved: 0,
        })
    }

    /// Renews the reservation of an upload's blob. To be called every [`BlobRepository::renew_every`]. Returns whether
    /// the blob is still staged.
    pub async fn renew(&self, id: BlobId) -> Result<bool, DbErr> {
        let now = self.clock.now();
        let renew = blob::Entity::update_many()
            .col_expr(
                blob::Column::ExpiresAt,
                Expr::value(now + UPLOAD_RESERVATION),
            )
            .col_expr(blob::Column::UpdatedAt, Expr::value(now))
            .filter(blob::Column::Id.eq(id))
            .filter(blob::Column::Status.eq(BlobStatus::Staged));
        Ok(self.database.write_query(&renew).await? == 1)
    }

    /// The interval at which an upload should renew.
    pub fn renew_every() -> Duration {
        UPLOAD_RESERVATION / 4
    }

    /// Records the checkpoint of an attempt. Returns whether the blob is still the attempt's own.
    pub async fn save_checkpoint(
        &self,
        blob: &StagedBlob,
        checkpoint: &Checkpoint,
    ) -> Result<bool, DbErr> {
        let document = serde_json::to_value(checkpoint).map_err(|e| DbErr::Json(e.to_string()))?;
        let save = staged(blob.owner)
            .col_expr(blob::Column::Checkpoint, Expr::value(document))
            .col_expr(blob::Column::UpdatedAt, Expr::value(self.clock.now()))
            .filter(blob::Column::Id.eq(blob.id));
        Ok(self.database.write_query(&save).await? == 1)
    }

    /// Takes over the blob that an earlier attempt at the same job has left with a checkpoint, if there is one.
    pub async fn resume_checkpoint(
        &self,
        lease: Lease,
    ) -> Result<Option<(StagedBlob, Checkpoint)>, DbErr> {
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
        let rows = self.database.write_returning(statement).await?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let row = blob::Model::from_query_result(row, "")?;
        let staged = StagedBlob {
            id: row.id,
            key: BlobKey::from_stored(&row.storage_key),
            owner: BlobOwner::Attempt(lease),
            project: row.project_id,
            reserved: u64::try_from(row.charged).unwrap_or_default(),
        };
        let checkpoint = row.checkpoint.map(serde_json::from_value::<Checkpoint>);
        match checkpoint.and_then(Result::ok) {
            Some(checkpoint) => Ok(Some((staged, checkpoint))),
            // A program of another version wrote it.
            None => self.abandon(&staged).await.map(|_| None),
        }
    }

    /// Updates the row of a blob. Returns whether the blob is still its writer's.
    pub async fn touch(&self, blob: &StagedBlob) -> Result<bool, DbErr> {
        let touch = staged(blob.owner)
            .col_expr(blob::Column::UpdatedAt, Expr::value(self.clock.now()))
            .filter(blob::Column::Id.eq(blob.id));
        Ok(self.database.write_query(&touch).await? == 1)
    }

    /// Abandons a staged blob whose writer has stopped: it is collected at once. Returns whether it was still the
    /// writer's.
    pub async fn abandon(&self, blob: &StagedBlob) -> Result<bool, DbErr> {
        self.abandon_all(staged(blob.owner).filter(blob::Column::Id.eq(blob.id)))
            .await
            .map(|abandoned| abandoned > 0)
    }

    /// Abandons the blobs of a stopped attempt, except those with a checkpoint, from which the next attempt resumes.
    pub async fn abandon_attempt(&self, lease: Lease) -> Result<(), DbErr> {
        let staged = staged(BlobOwner::Attempt(lease));
        self.abandon_all(staged.filter(blob::Column::Checkpoint.is_null()))
            .await
            .map(|_| ())
    }

    /// Abandons a blob whose attempt turned out to be over. Its writer may have been frozen for so long that the
    /// collector has deleted the blob, and may then have continued to write.
    pub async fn abandon_stale(&self, blob: &StagedBlob) -> Result<(), DbErr> {
        self.abandon(blob).await?;
        self.recheck(blob).await
    }

    /// Has the collector delete an object whose row it may have deleted already.
    pub async fn recheck(&self, blob: &StagedBlob) -> Result<(), DbErr> {
        let now = self.clock.now();
        let row = blob::ActiveModel {
            id: Set(blob.id),
            storage_key: Set(blob.key.as_str().to_owned()),
            status: Set(BlobStatus::Garbage),
            job_id: Set(None),
            attempt: Set(None),
            expires_at: Set(Some(self.recheck_after(now))),
            collect_after: Set(Some(now)),
            checkpoint: Set(None),
            // Its bytes no longer count for the project.
            project_id: Set(None),
            charged: Set(0),
            created_at: Set(now),
            updated_at: Set(now),
        };
        let insert =
            blob::Entity::insert(row).on_conflict(OnConflict::new().do_nothing().to_owned());
        self.database.write_query(&insert).await.map(drop)
    }

    async fn abandon_all(&self, blobs: UpdateMany<blob::Entity>) -> Result<u64, DbErr> {
        let now = self.clock.now();
        let recheck_after = Some(self.recheck_after(now));
        self.run_into_garbage(into_garbage(blobs, now, now, recheck_after))
            .await
    }

    /// Makes blobs garbage, and releases their bytes from their projects' quotas. Returns their number.
    async fn run_into_garbage(&self, garbage: UpdateMany<blob::Entity>) -> Result<u64, DbErr> {
        self.database
            .transaction(move |transaction| {
                let garbage = garbage.clone();
                Box::pin(async move {
                    let blobs = garbage.exec_with_returning(transaction).await?;
                    quota::release(transaction, &blobs).await?;
                    Ok(blobs.len() as u64)
                })
            })
            .await
    }

    /// The time at which the object of a blob that is abandoned now is deleted once more.
    fn recheck_after(&self, now: DateTime<Utc>) -> DateTime<Utc> {
        now + (self.abandoned_grace * RECHECK_GRACES).max(MIN_RECHECK)
    }
}

/// Inserts new blobs in one statement.
async fn insert(database: Database, blobs: Vec<blob::ActiveModel>) -> Result<Vec<()>, DbErr> {
    let all = vec![(); blobs.len()];
    database
        .write_query(&blob::Entity::insert_many(blobs))
        .await?;
    Ok(all)
}

/// Makes a staged blob live, within the transaction that records its media. Returns whether it was still staged: the
/// collector may have abandoned it.
pub(crate) async fn make_live(
    transaction: &impl ConnectionTrait,
    id: BlobId,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let backend = transaction.get_database_backend();
    let live = make_live_sql("$1", "$2");
    let live = Statement::from_sql_and_values(backend, live, [id.into(), now.into()]);
    Ok(transaction.execute_raw(live).await?.rows_affected() == 1)
}

/// The statement that makes staged blobs live. The arguments are placeholders: of the identifiers, separated by commas,
/// and of the time.
pub(crate) fn make_live_sql(ids: &str, now: &str) -> String {
    format!(
        "UPDATE blobs SET status = 'live', expires_at = NULL, updated_at = {now} \
         WHERE id IN ({ids}) AND status = 'staged'"
    )
}

/// Makes live blobs garbage, within the transaction that replaces or deletes their media.
pub(crate) async fn mark_garbage(
    transaction: &impl ConnectionTrait,
    ids: &[BlobId],
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let ids = ids.iter().copied();
    let live = blob::Entity::update_many().filter(blob::Column::Id.is_in(ids));
    let garbage = into_garbage(live, now, now, None);
    let blobs = garbage.exec_with_returning(transaction).await?;
    quota::release(transaction, &blobs).await
}

/// The staged blobs that a writer may write about.
fn staged(owner: BlobOwner) -> UpdateMany<blob::Entity> {
    let staged = blob::Entity::update_many().filter(Expr::cust("status = 'staged'"));
    match owner {
        BlobOwner::Attempt(lease) => staged
            .filter(blob::Column::JobId.eq(lease.job_id))
            .filter(blob::Column::Attempt.eq(lease.attempt)),
        BlobOwner::Upload => staged.filter(blob::Column::JobId.is_null()),
    }
}

/// Makes blobs garbage that is collected at `collect_after`, and once more at `recheck_after` if the writer may still
/// be writing.
fn into_garbage(
    blobs: UpdateMany<blob::Entity>,
    now: DateTime<Utc>,
    collect_after: DateTime<Utc>,
    recheck_after: Option<DateTime<Utc>>,
) -> UpdateMany<blob::Entity> {
    blobs
        .col_expr(blob::Column::Status, Expr::value(BlobStatus::Garbage))
        .col_expr(blob::Column::CollectAfter, Expr::value(collect_after))
        .col_expr(blob::Column::ExpiresAt, Expr::value(recheck_after))
        .col_expr(blob::Column::UpdatedAt, Expr::value(now))
}
