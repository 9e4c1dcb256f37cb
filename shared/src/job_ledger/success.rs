//! The success of an import in one statement, on PostgreSQL: in a transaction of its own it takes six
//! round trips, which is most of what the database has to do for a small import.

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait as _, DatabaseBackend, DbErr, EntityTrait as _, ExprTrait as _,
    FromQueryResult as _, QueryFilter as _, QuerySelect as _, QueryTrait as _, RuntimeErr, SqlErr,
    TryIntoModel as _,
    sea_query::{
        CommonTableExpression, Expr, InsertStatement, Query, Returning, SelectStatement,
        SimpleExpr, SubQueryStatement, WithClause,
    },
};

use super::{Lease, transition};
use crate::{
    blob_ledger,
    database::Database,
    entities::{job, media},
    job::JobStatus,
    media_ledger::{self, NewMedia},
};

/// The steps of the statement, each of which is taken if the one before it was.
const HELD: &str = "held";
const LIVE: &str = "live";
const RECORDED: &str = "recorded";

/// Makes the blob live, records the media and ends the job, if the lease holds the job, the blob is
/// still staged and nothing is at the media's path. If not, nothing is done: why, and what is to be
/// done instead, takes a transaction to find out.
pub(super) async fn at_once(
    database: &Database,
    lease: Lease,
    new: &NewMedia,
    now: DateTime<Utc>,
) -> Result<Option<(media::Model, job::Model)>, DbErr> {
    if database.backend() != DatabaseBackend::Postgres {
        return Ok(None);
    }
    let row = media_ledger::new_row(new, now);
    let media = row.clone().try_into_model()?;
    let row_of_job = job::ActiveModel::default();
    let success = transition::succeeded(row_of_job, media.id, media.size, now);

    let mut live = blob_ledger::into_live(new.blob_id, now)
        .filter(after(HELD))
        .into_query();
    live.returning(Query::returning().expr(Expr::val(1)));
    let mut statement = job::Entity::update_many()
        .set(success)
        .filter(job::Column::Id.eq(lease.job_id))
        .filter(after(RECORDED))
        .into_query();
    statement.returning(Returning::new().all()).with_cte(
        WithClause::new()
            .cte(step(HELD, hold(lease, new)))
            .cte(step(LIVE, live))
            .cte(step(RECORDED, record(&row)?))
            .to_owned(),
    );
    let statement = database.backend().build(&statement);
    let done = match database.write_returning(statement).await {
        Ok(done) => done,
        // Another was recorded at this path meanwhile.
        Err(error) if is_conflict(&error) => return Ok(None),
        Err(error) => return Err(error),
    };
    let Some(job) = done.first() else {
        return Ok(None);
    };
    Ok(Some((media, job::Model::from_query_result(job, "")?)))
}

/// The job, its row locked before any other, if the lease holds it and its media would be the first
/// at its path.
fn hold(lease: Lease, new: &NewMedia) -> SelectStatement {
    let there = media_ledger::in_project(&new.path, new.creator.project_id.as_deref());
    job::Entity::find()
        .select_only()
        .column(job::Column::Id)
        .filter(job::Column::Id.eq(lease.job_id))
        .filter(job::Column::Attempt.eq(lease.attempt))
        .filter(job::Column::Status.eq(JobStatus::Running))
        .filter(job::Column::LeaseUntil.is_not_null())
        .filter(Expr::exists(there.into_query()).not())
        .lock_exclusive()
        .into_query()
}

/// Records the media, if its blob has become live.
fn record(row: &media::ActiveModel) -> Result<InsertStatement, DbErr> {
    let filled = media_ledger::columns_of(row);
    let (columns, values): (Vec<media::Column>, Vec<SimpleExpr>) = filled.into_iter().unzip();
    let values = Query::select().exprs(values).from(LIVE).to_owned();
    let mut insert = Query::insert();
    insert
        .into_table(media::Entity)
        .columns(columns)
        .select_from(values)
        .map_err(|error| DbErr::Query(RuntimeErr::Internal(error.to_string())))?
        .returning(Query::returning().expr(Expr::val(1)));
    Ok(insert)
}

fn step(name: &'static str, statement: impl Into<SubQueryStatement>) -> CommonTableExpression {
    let mut step = CommonTableExpression::new();
    step.table_name(name).query(statement);
    step
}

/// That a step was taken.
fn after(step: &'static str) -> SimpleExpr {
    Expr::exists(Query::select().expr(Expr::val(1)).from(step).to_owned())
}

fn is_conflict(error: &DbErr) -> bool {
    matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_)))
}
