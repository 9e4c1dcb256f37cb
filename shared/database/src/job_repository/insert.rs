//! The insertion of jobs.

use std::collections::HashSet;

use sea_orm::{
    ConnectionTrait, DbErr, EntityTrait, IntoActiveModel as _, QueryTrait as _,
    sea_query::{OnConflict, Query},
};

use crate::{Database, entities::job};
use media_domain::ids::JobId;

/// Inserts jobs in one statement. Returns for each whether it was inserted: not if another job holds its unicity.
pub(super) async fn insert_batch(
    database: Database,
    jobs: Vec<job::Model>,
) -> Result<Vec<bool>, DbErr> {
    let mut rows: Vec<&job::Model> = jobs.iter().collect();
    // Two batches with the same unicities must not deadlock.
    rows.sort_by_key(|job| (&job.unicity, &job.project_id));
    let rows = rows.into_iter().map(|job| job.clone().into_active_model());
    let mut insert = job::Entity::insert_many(rows)
        .on_conflict(do_nothing())
        .into_query();
    insert.returning(Query::returning().column(job::Column::Id));
    let insert = database.backend().build(&insert);
    let inserted = database.write_returning(insert).await?;
    let inserted: Result<HashSet<JobId>, DbErr> =
        inserted.iter().map(|row| row.try_get("", "id")).collect();
    let inserted = inserted?;
    Ok(jobs.iter().map(|job| inserted.contains(&job.id)).collect())
}

/// Inserts one job within a transaction. Returns the same.
pub(super) async fn insert(
    transaction: &impl ConnectionTrait,
    job: &job::Model,
) -> Result<bool, DbErr> {
    let inserted = job::Entity::insert(job.clone().into_active_model())
        .on_conflict(do_nothing())
        .exec_without_returning(transaction)
        .await?;
    Ok(inserted == 1)
}

/// The identifier of a new job is unique, so only its unicity can conflict.
fn do_nothing() -> OnConflict {
    OnConflict::new().do_nothing().to_owned()
}
