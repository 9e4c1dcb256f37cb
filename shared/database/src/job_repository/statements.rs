//! The statements of the repository that both databases run as text.
//!
//! Conditions of partial indexes are literals, never parameters: a cached plan with parameters could not use the index.

use sea_orm::DatabaseBackend;

/// Selects the rows of `new` that may be recorded: their leases hold and their blobs are staged. Locks the jobs and then
/// the blobs in one order, so that no two statements deadlock.
pub(super) fn hold_completions(jobs: &str, blobs: &str, lock: &str) -> String {
    format!(
        "SELECT new.* FROM new \
           JOIN jobs ON jobs.id = new.job AND jobs.attempt = new.attempt \
           JOIN blobs ON blobs.id = new.blob_id \
         WHERE jobs.id IN ({jobs}) AND jobs.status = 'running' AND jobs.lease_until IS NOT NULL \
           AND blobs.id IN ({blobs}) AND blobs.status = 'staged' \
         ORDER BY jobs.id {lock}"
    )
}

/// Ends the jobs of `new` with success, as [`super::state_machine::succeeded`] does with one row, and removes the secrets
/// from their arguments, as [`super::state_machine::without_secrets`] does.
pub(super) fn end_jobs(jobs: &str, now: &str, backend: DatabaseBackend) -> String {
    let arguments = match backend {
        DatabaseBackend::Postgres => {
            "jsonb_set(jobs.arguments - 'headers', '{url}', to_jsonb(CAST(new.source_url AS text)))"
        }
        _ => "json_set(json_remove(jobs.arguments, '$.headers'), '$.url', new.source_url)",
    };
    format!(
        "UPDATE jobs SET status = 'succeeded', progress = 100, media_id = new.id, \
           bytes_done = new.size, bytes_total = new.size, error = NULL, error_detail = NULL, \
           worker_id = NULL, lease_until = NULL, signal = NULL, updated_at = {now}, finished_at = {now}, \
           arguments = CASE WHEN new.source_url IS NULL THEN jobs.arguments ELSE {arguments} END \
         FROM new WHERE jobs.id IN ({jobs}) AND jobs.id = new.job"
    )
}
