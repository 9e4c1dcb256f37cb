//! Completes several successful imports at once: in a transaction of its own each takes six round trips, which is most
//! of the database's work for a small import.

use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

use chrono::{DateTime, Utc};
use media_domain::{
    ids::{BlobId, JobId},
    job::{JobStatus, Lease},
};
use media_telemetry::metrics::metrics;
use sea_orm::{
    ConnectionTrait as _, DatabaseBackend, DbErr, IdenStatic as _, Iterable as _, QueryResult,
    Statement, TryGetable, TryIntoModel as _, Value,
};

use super::statements;
use crate::{
    Database, Transaction,
    blob_repository::make_live_sql,
    entities::media,
    media_repository::{self, NewMedia},
};

/// An attempt that has stored its media.
#[derive(Clone, Debug)]
pub(super) struct Completion {
    pub(super) lease: Lease,
    pub(super) new: NewMedia,
    pub(super) now: DateTime<Utc>,
}

/// Makes the blobs live, records the media and ends the jobs of all attempts whose lease holds, whose blob is still
/// staged and whose path has no media. The rest are left untouched; the caller retries each one alone to learn why.
pub(super) async fn complete_batch(
    database: Database,
    completions: Vec<Completion>,
) -> Result<Vec<Option<media::Model>>, DbErr> {
    let Some(now) = completions.iter().map(|completion| completion.now).max() else {
        return Ok(Vec::new());
    };
    let newest = newest_attempts(&completions);
    let is_newest =
        |n: usize, completion: &Completion| newest.get(&completion.lease.job_id) == Some(&n);
    let rows: Vec<Option<Row>> = completions
        .iter()
        .enumerate()
        .map(|(n, each)| is_newest(n, each).then(|| Row::new(each, now)))
        .collect();
    let chosen: Vec<Row> = rows.iter().flatten().cloned().collect();
    let ended = match database.backend() {
        DatabaseBackend::Postgres => complete_in_one_statement(&database, &chosen, now).await?,
        _ => complete_in_steps(&database, &chosen, now).await?,
    };
    for class in ended.values() {
        metrics().job_ended(class, JobStatus::Succeeded.as_str());
    }
    let media_of = |row: Option<Row>| {
        let done = row.filter(|row| ended.contains_key(&row.lease.job_id));
        done.map(|row| row.media.try_into_model()).transpose()
    };
    rows.into_iter().map(media_of).collect()
}

/// The place of the newest attempt of each job: the results of the statements name jobs, so each may occur once. Those
/// left out are retried alone, and refused.
fn newest_attempts(completions: &[Completion]) -> HashMap<JobId, usize> {
    let mut newest = HashMap::<JobId, usize>::new();
    for (n, Completion { lease, .. }) in completions.iter().enumerate() {
        let place = newest.entry(lease.job_id).or_insert(n);
        if completions[*place].lease.attempt < lease.attempt {
            *place = n;
        }
    }
    newest
}

/// The jobs that have ended, with their classes.
type Ended = HashMap<JobId, String>;

/// A completion with the row of its media.
#[derive(Clone)]
struct Row {
    lease: Lease,
    blob: BlobId,
    media: media::ActiveModel,
}

impl Row {
    fn new(completion: &Completion, now: DateTime<Utc>) -> Self {
        Self {
            lease: completion.lease,
            blob: completion.new.blob_id,
            media: media_repository::new_row(&completion.new, now),
        }
    }
}

/// The rows as a table `new` of bound values, and the identifiers that the statements look up.
struct Bound {
    /// `new (job, attempt, …) AS (VALUES …)`.
    table: String,
    /// The jobs, as `$1, $4`.
    jobs: String,
    /// The blobs, likewise.
    blobs: String,
    values: Vec<Value>,
}

impl Bound {
    fn new(rows: &[Row]) -> Self {
        let mut values = Vec::<Value>::new();
        let (mut jobs, mut blobs, mut tuples) = (Vec::new(), Vec::new(), Vec::new());
        let is_blob = |column| matches!(column, media::Column::BlobId);
        // A media has a blob: the column is there.
        let blob_column = media::Column::iter().position(is_blob).unwrap_or_default();
        for row in rows {
            let first = values.len() + 1;
            values.extend([row.lease.job_id.into(), row.lease.attempt.into()]);
            values.extend(media_repository::values_of(&row.media));
            let tuple: Vec<String> = (first..=values.len()).map(|n| format!("${n}")).collect();
            jobs.push(format!("${first}"));
            blobs.push(tuple[2 + blob_column].clone());
            tuples.push(format!("({})", tuple.join(", ")));
        }
        let table = format!(
            "new (job, attempt, {}) AS (VALUES {})",
            media_columns(),
            tuples.join(", ")
        );
        Self {
            table,
            jobs: jobs.join(", "),
            blobs: blobs.join(", "),
            values,
        }
    }

    /// Binds one more value. Returns its placeholder.
    fn bind(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }
}

fn media_columns() -> String {
    let names: Vec<&str> = media::Column::iter()
        .map(|column| column.as_str())
        .collect();
    names.join(", ")
}

/// On PostgreSQL, where each statement is a round trip.
async fn complete_in_one_statement(
    database: &Database,
    rows: &[Row],
    now: DateTime<Utc>,
) -> Result<Ended, DbErr> {
    let mut bound = Bound::new(rows);
    let now = bound.bind(now);
    let Bound {
        table,
        jobs,
        blobs,
        values,
    } = bound;
    let columns = media_columns();
    let hold = statements::hold_completions(&jobs, &blobs, "FOR UPDATE OF jobs, blobs");
    let live = make_live_sql(&blobs, &now);
    let end = statements::end_jobs(&jobs, &now, DatabaseBackend::Postgres);
    let sql = format!(
        "WITH {table}, held AS ({hold}), \
           recorded AS (INSERT INTO medias ({columns}) SELECT {columns} FROM held \
             ON CONFLICT DO NOTHING RETURNING id, blob_id), \
           live AS ({live} AND id IN (SELECT blob_id FROM recorded)) \
         {end} AND new.id IN (SELECT id FROM recorded) RETURNING jobs.id, jobs.job_class"
    );
    let statement = Statement::from_sql_and_values(database.backend(), sql, values);
    ended(&database.write_returning(statement).await?)
}

/// On SQLite, where only a SELECT can be part of another statement.
async fn complete_in_steps(
    database: &Database,
    rows: &[Row],
    now: DateTime<Utc>,
) -> Result<Ended, DbErr> {
    let rows = rows.to_vec();
    database
        .transaction(move |transaction| {
            let rows = rows.clone();
            Box::pin(async move { take_steps(transaction, rows, now).await })
        })
        .await
}

async fn take_steps(
    transaction: &Transaction,
    mut rows: Vec<Row>,
    now: DateTime<Utc>,
) -> Result<Ended, DbErr> {
    let query = |sql: String, values| async {
        let statement = Statement::from_sql_and_values(DatabaseBackend::Sqlite, sql, values);
        transaction.query_all_raw(statement).await
    };
    let Bound {
        table,
        jobs,
        blobs,
        values,
    } = Bound::new(&rows);
    let selection = statements::hold_completions(&jobs, &blobs, "");
    let held = query(format!("WITH {table} {selection}"), values).await?;
    let held: HashSet<JobId> = column(&held, "job")?;
    rows.retain(|row| held.contains(&row.lease.job_id));
    if rows.is_empty() {
        return Ok(Ended::new());
    }
    let Bound { table, values, .. } = Bound::new(&rows);
    let columns = media_columns();
    // `WHERE true` tells SQLite that ON belongs to the conflict, not to a join.
    let record = format!(
        "WITH {table} INSERT INTO medias ({columns}) SELECT {columns} FROM new WHERE true \
         ON CONFLICT DO NOTHING RETURNING blob_id"
    );
    let recorded: HashSet<BlobId> = column(&query(record, values).await?, "blob_id")?;
    rows.retain(|row| recorded.contains(&row.blob));
    if rows.is_empty() {
        return Ok(Ended::new());
    }
    let mut bound = Bound::new(&rows);
    let now = bound.bind(now);
    let live = make_live_sql(&bound.blobs, &now);
    query(live, bound.values.clone()).await?;
    let end = statements::end_jobs(&bound.jobs, &now, DatabaseBackend::Sqlite);
    let end = format!("WITH {} {end} RETURNING id, job_class", bound.table);
    ended(&query(end, bound.values).await?)
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

#[cfg(test)]
mod tests;
