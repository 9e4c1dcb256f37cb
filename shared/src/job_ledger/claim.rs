//! How a worker takes jobs and keeps them.

use std::time::Instant;

use sea_orm::{DatabaseBackend, DbErr, FromQueryResult, Statement, Value};

use super::{Claimed, JobLedger, Lease};
use crate::{
    entities::job,
    ids::{JobId, WorkerId},
    job::{KnownClass, Signal},
    metrics::figures,
};

/// The most jobs that one heartbeat statement renews; more take several.
const BEATS_PER_STATEMENT: usize = 256;

/// What a worker says about a job it runs, once a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Beat {
    /// The hold on the job.
    pub lease: Lease,
    /// 0…100.
    pub progress: i16,
    /// Bytes fetched so far.
    pub bytes_done: i64,
    /// Bytes that the origin announced.
    pub bytes_total: Option<i64>,
}

/// What a worker hears about a job it runs. A job that it hears nothing of is no longer its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pulse {
    /// The hold on the job, renewed.
    pub lease: Lease,
    /// What the job has to obey.
    pub signal: Option<Signal>,
}

impl JobLedger {
    /// Takes the most urgent pending job of the classes that the worker knows, if there is one: one
    /// statement, in which no two workers can take the same.
    pub async fn claim(
        &self,
        worker: WorkerId,
        known: &[KnownClass],
    ) -> Result<Option<Claimed>, DbErr> {
        if known.is_empty() {
            return Ok(None);
        }
        let backend = self.database.backend();
        let skip_locked = self.skip_locked();
        // SQLite keeps no statistics, and would read all jobs of a class that there ever were.
        let by_urgency = match backend {
            DatabaseBackend::Sqlite => "INDEXED BY jobs_claim",
            _ => "",
        };
        let now = self.clock.now();
        let mut values: Vec<Value> = vec![worker.into(), (now + self.lease).into(), now.into()];
        let mut runnable = Vec::with_capacity(known.len());
        for class in known {
            let first = values.len() + 1;
            runnable.push(format!(
                "WHEN ${first} THEN arguments_version <= ${}",
                first + 1
            ));
            values.extend([class.name.into(), class.arguments_version.into()]);
        }
        // As a CASE, which no index serves: PostgreSQL, where it has no statistics yet, would rather look
        // up all jobs of the class, and sort them.
        let runnable = format!("CASE job_class {} ELSE FALSE END", runnable.join(" "));
        let sql = format!(
            "WITH pick AS MATERIALIZED ( \
               SELECT id FROM jobs {by_urgency} WHERE status = 'pending' AND {runnable} \
               ORDER BY priority DESC, id LIMIT 1 {skip_locked}) \
             UPDATE jobs SET status = 'running', attempt = attempt + 1, worker_id = $1, \
               lease_until = $2, updated_at = $3, started_at = COALESCE(started_at, $3), \
               progress = 0, bytes_done = 0, bytes_total = NULL \
             WHERE id = (SELECT id FROM pick) RETURNING *"
        );
        let asked = Instant::now();
        let claim = Statement::from_sql_and_values(backend, sql, values);
        let rows = self.database.write_returning(claim).await?;
        figures().claimed(asked.elapsed());
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let job = job::Model::from_query_result(row, "")?;
        if job.attempt == 1 {
            let could_begin = job.scheduled_at.unwrap_or(job.created_at);
            figures().picked_up((now - could_begin).to_std().unwrap_or_default());
        }
        Ok(Some(Claimed::new(job)))
    }

    /// Renews the leases, writes the progress and brings back the signals of all jobs that a worker
    /// runs, in one statement. A lease that is not among the answers is lost.
    pub async fn heartbeat(&self, beats: &[Beat]) -> Result<Vec<Pulse>, DbErr> {
        let mut pulses = Vec::with_capacity(beats.len());
        for beats in beats.chunks(BEATS_PER_STATEMENT) {
            pulses.extend(self.beat(beats).await?);
        }
        Ok(pulses)
    }

    async fn beat(&self, beats: &[Beat]) -> Result<Vec<Pulse>, DbErr> {
        const COLUMNS: usize = 5;
        let now = self.clock.now();
        let mut values: Vec<Value> = vec![(now + self.lease).into(), now.into()];
        let mut rows = Vec::with_capacity(beats.len());
        for (index, beat) in beats.iter().enumerate() {
            let first = 3 + index * COLUMNS;
            let row: Vec<String> = (first..first + COLUMNS).map(|n| format!("${n}")).collect();
            rows.push(format!("({})", row.join(", ")));
            values.extend([
                beat.lease.job_id.into(),
                beat.lease.attempt.into(),
                beat.progress.into(),
                beat.bytes_done.into(),
                beat.bytes_total.into(),
            ]);
        }
        let sql = format!(
            "WITH beat (id, attempt, progress, bytes_done, bytes_total) AS (VALUES {}) \
             UPDATE jobs SET lease_until = $1, updated_at = $2, progress = beat.progress, \
               bytes_done = beat.bytes_done, bytes_total = beat.bytes_total \
             FROM beat WHERE jobs.id = beat.id AND jobs.attempt = beat.attempt \
               AND jobs.status = 'running' \
             RETURNING jobs.id AS id, jobs.attempt AS attempt, jobs.signal AS signal",
            rows.join(", ")
        );
        let backend = self.database.backend();
        let beat = Statement::from_sql_and_values(backend, sql, values);
        let answers = self.database.write_returning(beat).await?;
        answers
            .iter()
            .map(|row| {
                Ok(Pulse {
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
