//! Successes of imports, several at once: in a transaction of its own each takes six round trips, which is
//! most of what the database has to do for a small import.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait as _, ConnectionTrait as _, DatabaseBackend, DbErr, EntityName as _,
    EntityTrait as _, ExprTrait as _, Iterable as _, QueryFilter as _, QueryResult,
    QueryTrait as _, RuntimeErr, TryGetable, TryIntoModel as _, Value,
    sea_query::{
        Alias, Asterisk, CommonTableExpression, Expr, InsertStatement, IntoColumnRef, LockType,
        OnConflict, Order, Query, Returning, SelectStatement, SimpleExpr, SubQueryStatement,
        UpdateStatement, ValueTuple, WithClause,
    },
};

use super::{Lease, settle::count_end, transition};
use crate::{
    blob_ledger,
    database::{Database, Transaction},
    entities::{
        blob::{self, BlobStatus},
        job, media,
    },
    ids::{BlobId, JobId},
    job::JobStatus,
    media_ledger::{self, NewMedia},
};

/// The steps of the statement: what is to be recorded, what of it is still its attempt's to record, what
/// was recorded, and the blobs that are live for it.
const NEW: &str = "new";
const HELD: &str = "held";
const RECORDED: &str = "recorded";
const LIVE: &str = "live";
/// What [`NEW`] has beside the columns of a media.
const JOB: &str = "job";
const ATTEMPT: &str = "attempt";

/// An attempt that has stored its media.
#[derive(Clone, Debug)]
pub(super) struct Success {
    pub(super) lease: Lease,
    pub(super) new: NewMedia,
    pub(super) now: DateTime<Utc>,
}

/// Makes the blobs live, records the media and ends the jobs, of each attempt whose lease holds its job,
/// whose blob is still staged and at whose media's path nothing is. Of the others nothing is done: why,
/// and what is to be done instead, is found out one by one.
pub(super) async fn at_once(
    database: Database,
    successes: Vec<Success>,
) -> Result<Vec<Option<media::Model>>, DbErr> {
    let Some(now) = successes.iter().map(|success| success.now).max() else {
        return Ok(Vec::new());
    };
    let stored: Vec<Stored> = successes.iter().map(|s| Stored::of(s, now)).collect();
    let done = match database.backend() {
        DatabaseBackend::Postgres => in_one_statement(&database, &stored, now).await?,
        _ => in_steps(&database, &stored, now).await?,
    };
    for class in done.values() {
        count_end(class, JobStatus::Succeeded);
    }
    let media_of = |stored: Stored| {
        let is_done = done.contains_key(&stored.lease.job_id);
        is_done.then(|| stored.media.try_into_model()).transpose()
    };
    stored.into_iter().map(media_of).collect()
}

/// The jobs that have ended, with their classes.
type Ended = HashMap<JobId, String>;

/// A success, and the row of its media.
#[derive(Clone)]
struct Stored {
    lease: Lease,
    blob: BlobId,
    media: media::ActiveModel,
}

impl Stored {
    fn of(success: &Success, now: DateTime<Utc>) -> Self {
        Self {
            lease: success.lease,
            blob: success.new.blob_id,
            media: media_ledger::new_row(&success.new, now),
        }
    }
}

/// On PostgreSQL, where each statement is a round trip.
async fn in_one_statement(
    database: &Database,
    stored: &[Stored],
    now: DateTime<Utc>,
) -> Result<Ended, DbErr> {
    let keys = Keys::of(stored);
    let mut live = make_live(&keys, now);
    live.from(RECORDED).and_where(same(
        (blob::Entity, blob::Column::Id),
        (RECORDED, media::Column::BlobId),
    ));
    let mut end = end(&keys, now, database.backend());
    let recorded = same((NEW, media::Column::Id), (RECORDED, media::Column::Id));
    end.from(RECORDED).and_where(recorded).with_cte(
        WithClause::new()
            .cte(new(stored))
            .cte(step(HELD, hold(&keys)))
            .cte(step(RECORDED, record()?))
            .cte(step(LIVE, live))
            .to_owned(),
    );
    let end = database.backend().build(&end);
    ended(&database.write_returning(end).await?)
}

/// On SQLite, where only a SELECT can be a step of another statement.
async fn in_steps(
    database: &Database,
    stored: &[Stored],
    now: DateTime<Utc>,
) -> Result<Ended, DbErr> {
    let stored = stored.to_vec();
    database
        .transaction(move |transaction| {
            let stored = stored.clone();
            Box::pin(async move { take_steps(transaction, stored, now).await })
        })
        .await
}

async fn take_steps(
    transaction: &Transaction,
    mut stored: Vec<Stored>,
    now: DateTime<Utc>,
) -> Result<Ended, DbErr> {
    let backend = transaction.get_database_backend();
    let mut held = hold(&Keys::of(&stored));
    held.with_cte(WithClause::new().cte(new(&stored)).to_owned());
    let held = transaction.query_all_raw(backend.build(&held)).await?;
    let held: HashSet<JobId> = column(&held, JOB)?;
    stored.retain(|stored| held.contains(&stored.lease.job_id));
    if stored.is_empty() {
        return Ok(Ended::new());
    }
    let medias = stored.iter().map(|stored| stored.media.clone());
    let mut record = media::Entity::insert_many(medias)
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .into_query();
    record.returning(Query::returning().column(media::Column::BlobId));
    let recorded = transaction.query_all_raw(backend.build(&record)).await?;
    let recorded: HashSet<BlobId> = column(&recorded, "blob_id")?;
    stored.retain(|stored| recorded.contains(&stored.blob));
    if stored.is_empty() {
        return Ok(Ended::new());
    }
    let keys = Keys::of(&stored);
    let live = make_live(&keys, now);
    transaction.execute_raw(backend.build(&live)).await?;
    let mut end = end(&keys, now, backend);
    end.with_cte(WithClause::new().cte(new(&stored)).to_owned());
    ended(&transaction.query_all_raw(backend.build(&end)).await?)
}

fn ended(rows: &[QueryResult]) -> Result<Ended, DbErr> {
    rows.iter()
        .map(|row| Ok((row.try_get("", "id")?, row.try_get("", "job_class")?)))
        .collect()
}

fn column<T: TryGetable + Eq + Hash>(
    rows: &[QueryResult],
    name: &str,
) -> Result<HashSet<T>, DbErr> {
    rows.iter().map(|row| row.try_get("", name)).collect()
}

/// The rows that are written, by name: the database looks them up, however small it takes the tables to be.
struct Keys {
    jobs: Vec<JobId>,
    blobs: Vec<BlobId>,
}

impl Keys {
    fn of(stored: &[Stored]) -> Self {
        Self {
            jobs: stored.iter().map(|stored| stored.lease.job_id).collect(),
            blobs: stored.iter().map(|stored| stored.blob).collect(),
        }
    }

    fn is_job(&self) -> SimpleExpr {
        job::Column::Id.is_in(self.jobs.iter().copied())
    }

    fn is_blob(&self) -> SimpleExpr {
        blob::Column::Id.is_in(self.blobs.iter().copied())
    }
}

/// What is to be recorded, as a table.
fn new(stored: &[Stored]) -> CommonTableExpression {
    let rows = stored.iter().map(|stored| {
        let lease: [Value; 2] = [stored.lease.job_id.into(), stored.lease.attempt.into()];
        let media = media_ledger::values_of(&stored.media);
        ValueTuple::Many(lease.into_iter().chain(media).collect())
    });
    let rows = Query::select()
        .column(Asterisk)
        .from_values(rows, NEW)
        .to_owned();
    let mut new = step(NEW, rows);
    new.columns([JOB, ATTEMPT].map(Alias::new))
        .columns(media::Column::iter());
    new
}

/// What of it is still its attempt's to record. Locks the jobs and then the blobs, in one order: two
/// statements that lock several must not wait for each other.
fn hold(keys: &Keys) -> SelectStatement {
    Query::select()
        .column((NEW, Asterisk))
        .from(NEW)
        .inner_join(
            job::Entity,
            same((job::Entity, job::Column::Id), (NEW, JOB))
                .and(same((job::Entity, job::Column::Attempt), (NEW, ATTEMPT))),
        )
        .inner_join(
            blob::Entity,
            same(
                (blob::Entity, blob::Column::Id),
                (NEW, media::Column::BlobId),
            ),
        )
        .and_where(keys.is_job())
        .and_where(job::Column::Status.eq(JobStatus::Running))
        .and_where(job::Column::LeaseUntil.is_not_null())
        .and_where(keys.is_blob())
        .and_where(blob::Column::Status.eq(BlobStatus::Staged))
        .order_by((job::Entity, job::Column::Id), Order::Asc)
        .lock_with_tables(
            LockType::Update,
            [job::Entity.table_ref(), blob::Entity.table_ref()],
        )
        .to_owned()
}

/// Records the media at whose path nothing is.
fn record() -> Result<InsertStatement, DbErr> {
    let held = Query::select()
        .columns(media::Column::iter())
        .from(HELD)
        .to_owned();
    let mut insert = Query::insert();
    insert
        .into_table(media::Entity)
        .columns(media::Column::iter())
        .select_from(held)
        .map_err(|error| DbErr::Query(RuntimeErr::Internal(error.to_string())))?
        .on_conflict(OnConflict::new().do_nothing().to_owned())
        .returning(Query::returning().columns([media::Column::Id, media::Column::BlobId]));
    Ok(insert)
}

/// Makes their blobs live.
fn make_live(keys: &Keys, now: DateTime<Utc>) -> UpdateStatement {
    blob_ledger::into_live(now)
        .filter(keys.is_blob())
        .into_query()
}

/// The arguments without what was secret in them: nothing needs it after a success, which cannot be
/// retried. [`transition::without_secrets`] does the same to a row.
const WITHOUT_SECRETS_POSTGRES: &str = "CASE WHEN new.source_url IS NULL THEN jobs.arguments \
    ELSE jsonb_set(jobs.arguments - 'headers', '{url}', to_jsonb(CAST(new.source_url AS text))) END";
const WITHOUT_SECRETS_SQLITE: &str = "CASE WHEN new.source_url IS NULL THEN jobs.arguments \
    ELSE json_set(json_remove(jobs.arguments, '$.headers'), '$.url', new.source_url) END";

/// Ends their jobs.
fn end(keys: &Keys, now: DateTime<Utc>, backend: DatabaseBackend) -> UpdateStatement {
    let arguments = match backend {
        DatabaseBackend::Postgres => WITHOUT_SECRETS_POSTGRES,
        _ => WITHOUT_SECRETS_SQLITE,
    };
    let of_media = |column| Expr::col((NEW, column));
    let mut end = job::Entity::update_many()
        .set(transition::with_success(job::ActiveModel::default(), now))
        .col_expr(job::Column::Arguments, Expr::cust(arguments))
        .col_expr(job::Column::MediaId, of_media(media::Column::Id))
        .col_expr(job::Column::BytesDone, of_media(media::Column::Size))
        .col_expr(job::Column::BytesTotal, of_media(media::Column::Size))
        .filter(keys.is_job())
        .into_query();
    end.from(NEW)
        .and_where(same((job::Entity, job::Column::Id), (NEW, JOB)))
        .returning(Returning::new().exprs([
            Expr::col((job::Entity, job::Column::Id)),
            Expr::col((job::Entity, job::Column::JobClass)),
        ]));
    end
}

fn step(name: &'static str, statement: impl Into<SubQueryStatement>) -> CommonTableExpression {
    let mut step = CommonTableExpression::new();
    step.table_name(name).query(statement);
    step
}

fn same(left: impl IntoColumnRef, right: impl IntoColumnRef) -> SimpleExpr {
    Expr::col(left).eq(Expr::col(right))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        blob_ledger::{BlobLedger, BlobOwner},
        clock::Clock,
        config::DatabaseUrl,
        ids::WorkerId,
        job::{ImportArguments, KnownClass, MediaImport, arguments::RawImportArguments},
        job_ledger::{JobLedger, NewJob},
        media::{Filename, MediaPath, Sha256},
        media_ledger::Creator,
    };

    const MINUTE: Duration = Duration::from_mins(1);
    const KNOWN: [KnownClass; 1] = [KnownClass::of::<MediaImport>()];

    async fn stored(jobs: &JobLedger, blobs: &BlobLedger, resource: &str) -> Success {
        let arguments = RawImportArguments {
            url: "http://origin.test/file.png?sig=secret".into(),
            headers: Some([("X-Key".to_owned(), "secret".to_owned())].into()),
            resource: resource.into(),
            ..RawImportArguments::default()
        };
        let arguments = ImportArguments::check(arguments).unwrap();
        let job = NewJob::new::<MediaImport>(&arguments).unwrap();
        jobs.create(job).await.unwrap();
        let claimed = jobs.claim(WorkerId::generate(), &KNOWN).await;
        let lease = claimed.unwrap().unwrap().lease;
        let blob = blobs.stage(BlobOwner::Attempt(lease), None).await.unwrap();
        Success {
            lease,
            new: NewMedia {
                path: MediaPath::new(resource, None).unwrap(),
                filename: Filename::new("file.png").unwrap(),
                mime_type: "image/png".into(),
                charset: None,
                size: 4,
                sha256: Sha256::from_bytes([7; 32]),
                metadata: None,
                public: true,
                source_url: Some(arguments.public_url()),
                creator: Creator::default(),
                blob_id: blob.id,
            },
            now: Utc::now(),
        }
    }

    /// What is left over is done one by one, which nobody would notice; so here is what must not be.
    #[tokio::test]
    async fn sqlite_takes_all_that_nothing_is_in_the_way_of() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("test.db");
        let database = Database::connect(&DatabaseUrl::Sqlite { path }, 1).await;
        let database = database.unwrap();
        let connection = database.direct_connection().await.unwrap();
        media_migrations::migrate_up(&connection).await.unwrap();
        let jobs = JobLedger::new(database.clone(), Clock::system(), MINUTE);
        let blobs = BlobLedger::new(database.clone(), Clock::system(), MINUTE);
        let mut successes = Vec::new();
        for resource in ["a", "b", "a", "c"] {
            successes.push(stored(&jobs, &blobs, resource).await);
        }
        successes[3].lease.attempt += 1;
        let done = at_once(database.clone(), successes.clone()).await.unwrap();
        let done: Vec<bool> = done.iter().map(Option::is_some).collect();
        assert_eq!(done, [true, true, false, false]);
        let ended = jobs.find(successes[0].lease.job_id).await.unwrap().unwrap();
        assert_eq!(
            ended.arguments["url"],
            "http://origin.test/file.png?sig=redacted"
        );
        assert!(ended.arguments.get("headers").is_none());
        let again = at_once(database, successes).await.unwrap();
        assert!(again.iter().all(Option::is_none));
    }
}
