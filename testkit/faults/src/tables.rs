//! The tables, read without code of the service.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, QueryResult, Statement, Value};
use uuid::Uuid;

/// A row of `jobs`.
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) priority: i16,
    pub(crate) attempt: i32,
    pub(crate) error: Option<String>,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) started_at: Option<DateTime<Utc>>,
}

/// A media with its blob.
pub(crate) struct StoredMedia {
    pub(crate) size: i64,
    pub(crate) sha256: String,
    /// The status of the blob; `None` if there is no blob.
    pub(crate) status: Option<String>,
    pub(crate) storage_key: Option<String>,
    pub(crate) job_id: Option<Uuid>,
    pub(crate) attempt: Option<i32>,
}

/// The resource and the key of a media.
pub(crate) type MediaKey = (String, Option<String>);

async fn rows(database: &DatabaseConnection, sql: &str) -> Vec<QueryResult> {
    let statement = Statement::from_string(database.get_database_backend(), sql);
    database.query_all_raw(statement).await.unwrap()
}

/// Returns all jobs by id.
pub(crate) async fn jobs(database: &DatabaseConnection) -> HashMap<String, Job> {
    let sql = "SELECT id, status, priority, attempt, error, created_at, started_at FROM jobs";
    let rows = rows(database, sql).await;
    let job = |row: &QueryResult| Job {
        id: row.try_get::<Uuid>("", "id").unwrap().to_string(),
        status: row.try_get("", "status").unwrap(),
        priority: row.try_get("", "priority").unwrap(),
        attempt: row.try_get("", "attempt").unwrap(),
        error: row.try_get("", "error").unwrap(),
        created_at: row.try_get("", "created_at").unwrap(),
        started_at: row.try_get("", "started_at").unwrap(),
    };
    rows.iter()
        .map(job)
        .map(|job| (job.id.clone(), job))
        .collect()
}

/// Returns all media.
pub(crate) async fn media(database: &DatabaseConnection) -> HashMap<MediaKey, StoredMedia> {
    let sql = "SELECT resource, key, size, sha256, b.status, b.storage_key, b.job_id, b.attempt \
               FROM medias m LEFT JOIN blobs b ON b.id = m.blob_id";
    let place = |row: &QueryResult| {
        let resource = row.try_get("", "resource").unwrap();
        (resource, row.try_get("", "key").unwrap())
    };
    let kept = |row: &QueryResult| StoredMedia {
        size: row.try_get("", "size").unwrap(),
        sha256: row.try_get("", "sha256").unwrap(),
        status: row.try_get("", "status").unwrap(),
        storage_key: row.try_get("", "storage_key").unwrap(),
        job_id: row.try_get("", "job_id").unwrap(),
        attempt: row.try_get("", "attempt").unwrap(),
    };
    let rows = rows(database, sql).await;
    rows.iter().map(|row| (place(row), kept(row))).collect()
}

/// Returns the storage keys of blobs that have one of these statuses, which is an SQL list.
pub(crate) async fn storage_keys(database: &DatabaseConnection, statuses: &str) -> HashSet<String> {
    let sql = format!("SELECT storage_key FROM blobs WHERE status IN ({statuses})");
    let rows = rows(database, &sql).await;
    let key = |row: &QueryResult| row.try_get("", "storage_key").unwrap();
    rows.iter().map(key).collect()
}

/// Returns the ids of jobs that a statement selects.
pub(crate) async fn job_ids(
    database: &DatabaseConnection,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> Vec<String> {
    let statement = Statement::from_sql_and_values(database.get_database_backend(), sql, values);
    let rows = database.query_all_raw(statement).await.unwrap();
    let id = |row: &QueryResult| row.try_get_by_index::<Uuid>(0).unwrap().to_string();
    rows.iter().map(id).collect()
}

/// Returns the number that a statement selects.
pub(crate) async fn count(
    database: &DatabaseConnection,
    sql: &str,
    values: impl IntoIterator<Item = Value>,
) -> i64 {
    let statement = Statement::from_sql_and_values(database.get_database_backend(), sql, values);
    let row = database.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}
