//! The book of stored objects, and the only writer of the table `blobs`: what is being written,
//! what a media points to, and what the collector may remove.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, DbErr, EntityTrait, FromQueryResult, QueryFilter, Statement,
    UpdateMany,
    sea_query::{Expr, OnConflict},
};
use serde::{Deserialize, Serialize};

use crate::{
    blob_store::{BlobKey, Prefix},
    clock::Clock,
    database::{Batches, Database},
    entities::blob::{self, BlobStatus},
    ids::BlobId,
    job_ledger::Lease,
};

mod charge;
mod collector;

pub use charge::ChargeError;
pub use collector::{COLLECT_BATCH, CollectError};

/// How long an upload holds its blob between two signs of life.
const UPLOAD_HOLD: Duration = Duration::from_mins(2);
/// How many graces after a blob was given up its object is removed once more: a request of its writer
/// may have been under way in the store, or its writer frozen for longer than a grace.
const GRACES_UNTIL_SECOND_LOOK: u32 = 10;
/// And no earlier than that: longer than a store may take over any one request.
const SECOND_LOOK_MINIMUM: Duration = Duration::from_mins(3);
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
    /// Whose bytes these are.
    pub project: Option<String>,
    /// How many of them were counted for the project when this was read.
    pub charged: u64,
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
    entries: Batches<blob::ActiveModel, ()>,
    /// How long an abandoned blob is left alone: its writer may be frozen rather than dead, and
    /// could create the file after it was removed.
    abandoned_grace: Duration,
    /// The most bytes that one project may store.
    most_stored: Option<u64>,
}

impl BlobLedger {
    /// Opens the book. `abandoned_grace` should be about as long as a lease.
    pub fn new(database: Database, clock: Clock, abandoned_grace: Duration) -> Self {
        Self {
            entries: Batches::new(&database, |database, blobs| {
                Box::pin(enter(database, blobs))
            }),
            database,
            clock,
            abandoned_grace,
            most_stored: None,
        }
    }

    /// Lets no project store more than so many bytes.
    #[must_use]
    pub fn most_stored(self, most_stored: Option<u64>) -> Self {
        Self {
            most_stored,
            ..self
        }
    }

    /// Enters a new blob, before its first byte is written.
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
            project_id: Set(project.map(str::to_owned)),
            charged: Set(0),
            created_at: Set(now),
            updated_at: Set(now),
        };
        self.entries.submit(entry).await?;
        Ok(StagedBlob {
            id,
            key,
            owner,
            project: project.map(str::to_owned),
            charged: 0,
        })
    }

    /// Keeps an upload's blob from the collector for another while. To be called every
    /// [`BlobLedger::renew_every`]. Says whether the blob is still there to be kept.
    pub async fn renew(&self, id: BlobId) -> Result<bool, DbErr> {
        let now = self.clock.now();
        let renew = blob::Entity::update_many()
            .col_expr(blob::Column::ExpiresAt, Expr::value(now + UPLOAD_HOLD))
            .col_expr(blob::Column::UpdatedAt, Expr::value(now))
            .filter(blob::Column::Id.eq(id))
            .filter(blob::Column::Status.eq(BlobStatus::Staged));
        Ok(self.database.write_query(&renew).await? == 1)
    }

    /// How often an upload should renew.
    pub fn renew_every() -> Duration {
        UPLOAD_HOLD / 4
    }

    /// Writes down how far an attempt has come. Says whether the blob is still the attempt's own.
    pub async fn keep(&self, blob: &StagedBlob, checkpoint: &Checkpoint) -> Result<bool, DbErr> {
        let document = serde_json::to_value(checkpoint).map_err(|e| DbErr::Json(e.to_string()))?;
        let keep = staged(blob.owner)
            .col_expr(blob::Column::Checkpoint, Expr::value(document))
            .col_expr(blob::Column::UpdatedAt, Expr::value(self.clock.now()))
            .filter(blob::Column::Id.eq(blob.id));
        Ok(self.database.write_query(&keep).await? == 1)
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
            charged: u64::try_from(row.charged).unwrap_or_default(),
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
        let touch = staged(blob.owner)
            .col_expr(blob::Column::UpdatedAt, Expr::value(self.clock.now()))
            .filter(blob::Column::Id.eq(blob.id));
        Ok(self.database.write_query(&touch).await? == 1)
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
        self.throw_away(into_garbage(blobs, now, now, Some(self.second_look(now))))
            .await
    }

    /// Makes blobs garbage, whose bytes then count for no project any more. Says how many.
    async fn throw_away(&self, garbage: UpdateMany<blob::Entity>) -> Result<u64, DbErr> {
        self.database
            .transaction(move |transaction| {
                let garbage = garbage.clone();
                Box::pin(async move {
                    let blobs = garbage.exec_with_returning(transaction).await?;
                    charge::discharge(transaction, &blobs).await?;
                    Ok(blobs.len() as u64)
                })
            })
            .await
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
            // Nothing of it counts for its project.
            project_id: Set(None),
            charged: Set(0),
            created_at: Set(now),
            updated_at: Set(now),
        };
        let insert =
            blob::Entity::insert(entry).on_conflict(OnConflict::new().do_nothing().to_owned());
        self.database.write_query(&insert).await.map(drop)
    }
}

/// Enters new blobs, in one statement.
async fn enter(database: Database, blobs: Vec<blob::ActiveModel>) -> Result<Vec<()>, DbErr> {
    let all = vec![(); blobs.len()];
    database
        .write_query(&blob::Entity::insert_many(blobs))
        .await?;
    Ok(all)
}

/// Makes a staged blob live, within the transaction that makes its media. Says whether it was
/// still staged; if not, the collector had already given it up.
pub(crate) async fn make_live(
    transaction: &impl ConnectionTrait,
    id: BlobId,
    now: DateTime<Utc>,
) -> Result<bool, DbErr> {
    let staged = into_live(now).filter(blob::Column::Id.eq(id));
    Ok(staged.exec(transaction).await?.rows_affected == 1)
}

/// Makes blobs live, as far as they are staged.
pub(crate) fn into_live(now: DateTime<Utc>) -> UpdateMany<blob::Entity> {
    blob::Entity::update_many()
        .col_expr(blob::Column::Status, Expr::value(BlobStatus::Live))
        .col_expr(blob::Column::ExpiresAt, Expr::value(None::<DateTime<Utc>>))
        .col_expr(blob::Column::UpdatedAt, Expr::value(now))
        .filter(blob::Column::Status.eq(BlobStatus::Staged))
}

/// Makes a live blob garbage, within the transaction that takes its media away.
pub(crate) async fn retire(
    transaction: &impl ConnectionTrait,
    id: BlobId,
    now: DateTime<Utc>,
) -> Result<(), DbErr> {
    let live = blob::Entity::update_many().filter(blob::Column::Id.eq(id));
    let garbage = into_garbage(live, now, now, None);
    let blobs = garbage.exec_with_returning(transaction).await?;
    charge::discharge(transaction, &blobs).await
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
