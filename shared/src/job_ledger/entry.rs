//! How jobs get into the book.

use std::collections::HashSet;

use sea_orm::{
    ConnectionTrait, DbErr, EntityTrait, IntoActiveModel as _, QueryTrait as _,
    sea_query::{OnConflict, Query},
};

use crate::{database::Database, entities::job, ids::JobId};

/// Enters jobs, in one statement. Says of each whether it could be entered; not if another holds its
/// unicity.
pub(super) async fn enter(database: Database, jobs: Vec<job::Model>) -> Result<Vec<bool>, DbErr> {
    let mut rows: Vec<&job::Model> = jobs.iter().collect();
    // Two batches that want the same unicities must not wait for each other.
    rows.sort_by_key(|job| (&job.unicity, &job.project_id));
    let rows = rows.into_iter().map(|job| job.clone().into_active_model());
    let mut insert = job::Entity::insert_many(rows)
        .on_conflict(nothing_in_the_way())
        .into_query();
    insert.returning(Query::returning().column(job::Column::Id));
    let insert = database.backend().build(&insert);
    let entered = database.write_returning(insert).await?;
    let entered: Result<HashSet<JobId>, DbErr> =
        entered.iter().map(|row| row.try_get("", "id")).collect();
    let entered = entered?;
    Ok(jobs.iter().map(|job| entered.contains(&job.id)).collect())
}

/// Enters one job within a transaction; says the same.
pub(super) async fn insert(
    transaction: &impl ConnectionTrait,
    job: &job::Model,
) -> Result<bool, DbErr> {
    let inserted = job::Entity::insert(job.clone().into_active_model())
        .on_conflict(nothing_in_the_way())
        .exec_without_returning(transaction)
        .await?;
    Ok(inserted == 1)
}

/// The identifier of a job to be entered is new: all that can be in the way is its unicity.
fn nothing_in_the_way() -> OnConflict {
    OnConflict::new().do_nothing().to_owned()
}
