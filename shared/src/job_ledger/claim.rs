//! How a worker takes jobs and keeps them.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use chrono::{DateTime, Utc};
use sea_orm::{DatabaseBackend, DbErr, FromQueryResult, Statement, Value};
use tokio::sync::Mutex;

use super::{
    Claimed, JobLedger, Lease,
    fairness::{SlotUse, WaitingProjects},
};
use crate::{
    database::Batches,
    entities::job,
    ids::{JobId, WorkerId},
    job::{KnownClass, Signal},
    metrics::figures,
};

/// The most jobs that one heartbeat statement renews; more take several.
const BEATS_PER_STATEMENT: usize = 256;

/// Heartbeats that fit into a lease, at least: one that the database does not answer leaves time for
/// another, on another connection.
pub const HEARTBEATS_PER_LEASE: u32 = 3;

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

/// Takes jobs, several by one statement where several are wanted at the same time.
#[derive(Clone, Debug)]
pub struct Claims(Batches<SlotUse, Option<Claimed>>);

impl Claims {
    /// Takes a job for a slot, if there is one: the most urgent pending job of the project that has the
    /// fewest running ones.
    pub async fn next(&self, slot_use: SlotUse) -> Result<Option<Claimed>, DbErr> {
        self.0.submit(slot_use).await
    }
}

/// A worker, and the classes that it knows.
#[derive(Clone, Copy)]
struct Claimant<'k> {
    worker: WorkerId,
    known: &'k [KnownClass],
}

impl JobLedger {
    /// Takes a pending job of the classes that the worker knows, if there is one: the most urgent of the
    /// project that has the fewest running jobs.
    pub async fn claim(
        &self,
        worker: WorkerId,
        known: &[KnownClass],
    ) -> Result<Option<Claimed>, DbErr> {
        let mut waiting = WaitingProjects::default();
        let claimant = Claimant { worker, known };
        let mut claimed = self
            .claim_fairly(&mut waiting, claimant, 1, SlotUse::AnyProject)
            .await?;
        Ok(claimed.pop())
    }

    /// The claims of a worker that runs several jobs.
    pub fn claims(&self, worker: WorkerId, known: &'static [KnownClass]) -> Claims {
        let jobs = self.clone();
        let waiting = Arc::new(Mutex::new(WaitingProjects::default()));
        Claims(Batches::new(
            &self.database,
            move |database, wanted: Vec<SlotUse>| {
                let waiting = Arc::clone(&waiting);
                let jobs = Self {
                    database,
                    ..jobs.clone()
                };
                Box::pin(async move {
                    let mut waiting = waiting.lock().await;
                    let claimant = Claimant { worker, known };
                    jobs.claim_each(&mut waiting, claimant, &wanted).await
                })
            },
        ))
    }

    /// A job for each slot, as far as there are any.
    async fn claim_each(
        &self,
        waiting: &mut WaitingProjects,
        claimant: Claimant<'_>,
        wanted: &[SlotUse],
    ) -> Result<Vec<Option<Claimed>>, DbErr> {
        let mut claimed: Vec<Option<Claimed>> = wanted.iter().map(|_| None).collect();
        for slot_use in wanted.iter().copied().collect::<BTreeSet<SlotUse>>() {
            let of_use = || wanted.iter().filter(|wanted| **wanted == slot_use);
            let jobs = self
                .claim_fairly(waiting, claimant, of_use().count(), slot_use)
                .await?;
            let slots = claimed.iter_mut().zip(wanted);
            let slots = slots.filter(|(_, wanted)| **wanted == slot_use);
            for ((slot, _), job) in slots.zip(jobs) {
                *slot = Some(job);
            }
        }
        Ok(claimed)
    }

    /// Takes jobs for some slots. The counts of the projects may be a little old: where they promise more
    /// than there is, they are made anew once.
    async fn claim_fairly(
        &self,
        waiting: &mut WaitingProjects,
        claimant: Claimant<'_>,
        slots: usize,
        slot_use: SlotUse,
    ) -> Result<Vec<Claimed>, DbErr> {
        let mut claimed = Vec::new();
        if claimant.known.is_empty() {
            return Ok(claimed);
        }
        loop {
            let are_fresh = waiting.refresh(&self.database).await?;
            let shares = waiting.shares(slots - claimed.len(), slot_use);
            if !shares.is_empty() {
                claimed.extend(self.claim_shares(claimant, &shares).await?);
            }
            if claimed.len() == slots {
                return Ok(claimed);
            }
            waiting.forget();
            if are_fresh {
                return Ok(claimed);
            }
        }
    }

    /// Takes the most urgent pending jobs of some projects, so many of each: one statement, in which no two
    /// workers can take the same.
    async fn claim_shares(
        &self,
        claimant: Claimant<'_>,
        shares: &[(String, usize)],
    ) -> Result<Vec<Claimed>, DbErr> {
        let backend = self.database.backend();
        let skip_locked = self.skip_locked();
        // SQLite keeps no statistics, and would read all jobs of a class that there ever were.
        let by_urgency = match backend {
            DatabaseBackend::Sqlite => "INDEXED BY jobs_claim",
            _ => "",
        };
        // As an array, which is looked up in the index; a join could be made by reading all jobs.
        let picked = match backend {
            DatabaseBackend::Postgres => "id = ANY(ARRAY(SELECT id FROM pick))",
            _ => "id IN (SELECT id FROM pick)",
        };
        let now = self.clock.now();
        let until = now + self.lease;
        let mut values: Vec<Value> = vec![claimant.worker.into(), until.into(), now.into()];
        let runnable = runnable(claimant.known, &mut values);
        let mut picks = Vec::with_capacity(shares.len());
        for (project, share) in shares {
            values.push(project.as_str().into());
            picks.push(format!(
                "SELECT id FROM (SELECT id FROM jobs {by_urgency} WHERE status = 'pending' \
                   AND coalesce(project_id, '') = ${} AND {runnable} \
                   ORDER BY priority DESC, id LIMIT {share} {skip_locked}) AS most_urgent",
                values.len()
            ));
        }
        let sql = format!(
            "WITH pick AS MATERIALIZED ({}) \
             UPDATE jobs SET status = 'running', attempt = attempt + 1, worker_id = $1, \
               lease_until = $2, updated_at = $3, started_at = COALESCE(started_at, $3), \
               progress = 0, bytes_done = 0, bytes_total = NULL \
             WHERE {picked} RETURNING *",
            picks.join(" UNION ALL ")
        );
        let asked = Instant::now();
        let claim = Statement::from_sql_and_values(backend, sql, values);
        let rows = self.database.write_returning(claim).await?;
        figures().claimed(asked.elapsed());
        rows.iter()
            .map(|row| Ok(claimed(job::Model::from_query_result(row, "")?, now)))
            .collect()
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
        let backend = self.database.backend();
        // In the order of all statements that lock several: two must not wait for each other.
        let lock = match backend {
            DatabaseBackend::Postgres => "FOR UPDATE OF jobs",
            _ => "",
        };
        let sql = format!(
            "WITH beat (id, attempt, progress, bytes_done, bytes_total) AS (VALUES {}), \
               held AS ( \
                 SELECT jobs.id AS id FROM jobs JOIN beat ON jobs.id = beat.id \
                   AND jobs.attempt = beat.attempt \
                 WHERE jobs.status = 'running' ORDER BY jobs.id {lock}) \
             UPDATE jobs SET lease_until = $1, updated_at = $2, progress = beat.progress, \
               bytes_done = beat.bytes_done, bytes_total = beat.bytes_total \
             FROM beat JOIN held ON held.id = beat.id WHERE jobs.id = beat.id \
             RETURNING jobs.id AS id, jobs.attempt AS attempt, jobs.signal AS signal",
            rows.join(", ")
        );
        let beat = Statement::from_sql_and_values(backend, sql, values);
        // Ended early, so that the next one finds a connection while the lease still holds.
        let database = self.database.within(self.lease / HEARTBEATS_PER_LEASE);
        let answers = database.write_returning(beat).await?;
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

/// Counts a job that was just taken.
fn claimed(job: job::Model, now: DateTime<Utc>) -> Claimed {
    if job.attempt == 1 {
        let could_begin = job.scheduled_at.unwrap_or(job.created_at);
        figures().picked_up((now - could_begin).to_std().unwrap_or_default());
    }
    Claimed::new(job)
}

/// The condition that a job is of a class and version that the worker knows. As a CASE, which no index
/// serves: PostgreSQL, where it has no statistics yet, would rather look up all jobs of the class, and sort
/// them.
fn runnable(known: &[KnownClass], values: &mut Vec<Value>) -> String {
    let mut cases = Vec::with_capacity(known.len());
    for class in known {
        let first = values.len() + 1;
        cases.push(format!(
            "WHEN ${first} THEN arguments_version <= ${}",
            first + 1
        ));
        values.extend([class.name.into(), class.arguments_version.into()]);
    }
    format!("CASE job_class {} ELSE FALSE END", cases.join(" "))
}
