//! The heartbeat of a worker: one statement renews the leases of its jobs, writes their progress and returns their
//! signals.

use media_domain::{
    ids::JobId,
    job::{Lease, Signal},
};
use sea_orm::{DatabaseBackend, DbErr, Statement, Value};

use super::JobRepository;

/// The most jobs that one statement renews.
const MAX_JOBS_PER_STATEMENT: usize = 256;

/// The least number of heartbeats in the time of a lease: one that the database does not answer leaves time for
/// another, on another connection.
pub const HEARTBEATS_PER_LEASE: u32 = 3;

/// The state of a running job, as its worker reports it once a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatRequest {
    /// The lease on the job.
    pub lease: Lease,
    /// 0…100.
    pub progress: i16,
    /// Bytes received so far.
    pub bytes_done: i64,
    /// The size that the origin announced.
    pub bytes_total: Option<i64>,
}

/// The reply about a running job. A job without a reply is no longer the worker's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeartbeatReply {
    /// The renewed lease.
    pub lease: Lease,
    /// The signal that the worker has to obey.
    pub signal: Option<Signal>,
}

impl JobRepository {
    /// Renews the leases of all jobs that a worker runs, writes their progress and returns their signals. A lease
    /// without a reply is lost.
    pub async fn heartbeat(
        &self,
        requests: &[HeartbeatRequest],
    ) -> Result<Vec<HeartbeatReply>, DbErr> {
        let mut replies = Vec::with_capacity(requests.len());
        for requests in requests.chunks(MAX_JOBS_PER_STATEMENT) {
            replies.extend(self.renew_leases(requests).await?);
        }
        Ok(replies)
    }

    async fn renew_leases(
        &self,
        requests: &[HeartbeatRequest],
    ) -> Result<Vec<HeartbeatReply>, DbErr> {
        const COLUMNS: usize = 5;
        let now = self.clock.now();
        let mut values: Vec<Value> = vec![(now + self.lease).into(), now.into()];
        let mut rows = Vec::with_capacity(requests.len());
        for (index, request) in requests.iter().enumerate() {
            let first = 3 + index * COLUMNS;
            let row: Vec<String> = (first..first + COLUMNS).map(|n| format!("${n}")).collect();
            rows.push(format!("({})", row.join(", ")));
            values.extend([
                request.lease.job_id.into(),
                request.lease.attempt.into(),
                request.progress.into(),
                request.bytes_done.into(),
                request.bytes_total.into(),
            ]);
        }
        let backend = self.database.backend();
        // In the order of all statements that lock several jobs, so that no two deadlock.
        let lock = match backend {
            DatabaseBackend::Postgres => "FOR UPDATE OF jobs",
            _ => "",
        };
        let sql = format!(
            "WITH request (id, attempt, progress, bytes_done, bytes_total) AS (VALUES {}), \
               held AS ( \
                 SELECT jobs.id AS id FROM jobs JOIN request ON jobs.id = request.id \
                   AND jobs.attempt = request.attempt \
                 WHERE jobs.status = 'running' ORDER BY jobs.id {lock}) \
             UPDATE jobs SET lease_until = $1, updated_at = $2, progress = request.progress, \
               bytes_done = request.bytes_done, bytes_total = request.bytes_total \
             FROM request JOIN held ON held.id = request.id WHERE jobs.id = request.id \
             RETURNING jobs.id AS id, jobs.attempt AS attempt, jobs.signal AS signal",
            rows.join(", ")
        );
        let renew = Statement::from_sql_and_values(backend, sql, values);
        // Ended early, so that the next heartbeat finds a connection while the lease still holds.
        let database = self.database.within(self.lease / HEARTBEATS_PER_LEASE);
        let answers = database.write_returning(renew).await?;
        answers
            .iter()
            .map(|row| {
                Ok(HeartbeatReply {
                    lease: Lease {
                        job_id: row.try_get::<JobId>("", "id")?,
                        attempt: row.try_get("", "attempt")?,
                    },
                    signal: row.try_get("", "signal")?,
                })
            })
            .collect()
    }
}
