//! Claims: a worker takes pending jobs.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use chrono::{DateTime, Utc};
use sea_orm::{DatabaseBackend, DbErr, FromQueryResult, Statement, Value};
use tokio::sync::Mutex;

use super::{
    JobRepository,
    project_fairness::{SlotUse, WaitingProjects},
};
use crate::connection::Batches;
use crate::entities::job;
use media_domain::{
    ids::WorkerId,
    job::{Attempt, KnownClass, Lease},
};
use media_telemetry::metrics::metrics;

/// The claims of a worker. Claims at the same time share one statement.
#[derive(Clone, Debug)]
pub struct Claims(Batches<SlotUse, Option<Claimed>>);

impl Claims {
    /// Claims a job for a slot, if there is one: the most urgent pending job of the project with the fewest running
    /// jobs.
    pub async fn next(&self, slot_use: SlotUse) -> Result<Option<Claimed>, DbErr> {
        self.0.submit(slot_use).await
    }
}

/// A claimed job, with the lease on it.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The job after the claim.
    pub job: job::Model,
    /// The lease, which the worker names in every write about the job.
    pub lease: Lease,
}

impl Claimed {
    fn new(job: job::Model) -> Self {
        let lease = Lease {
            job_id: job.id,
            attempt: job.attempt,
        };
        Self { job, lease }
    }
}

/// A worker and the classes that it can run.
#[derive(Clone, Copy)]
struct Claimant<'k> {
    worker: WorkerId,
    known: &'k [KnownClass],
}

impl JobRepository {
    /// Claims a pending job of the classes that the worker can run, if there is one: the most urgent of the project
    /// with the fewest running jobs.
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

    /// The claims of a worker with several slots.
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

    /// Claims a job for each slot, as far as there are any.
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

    /// Claims jobs for some slots. The counts of the projects may be a little old: if they promise more jobs than there
    /// are, they are refreshed once.
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

    /// Claims the most urgent pending jobs of some projects, in the given numbers, with one statement. No two workers can
    /// claim the same job.
    async fn claim_shares(
        &self,
        claimant: Claimant<'_>,
        shares: &[(String, usize)],
    ) -> Result<Vec<Claimed>, DbErr> {
        let backend = self.database.backend();
        let skip_locked = self.skip_locked();
        // SQLite keeps no statistics, and would read all jobs of a class.
        let by_urgency = match backend {
            DatabaseBackend::Sqlite => "INDEXED BY jobs_claim",
            _ => "",
        };
        // An array is looked up in the index; a join could read all jobs.
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
        metrics().claimed(asked.elapsed());
        rows.iter()
            .map(|row| Ok(claimed(job::Model::from_query_result(row, "")?, now)))
            .collect()
    }
}

/// Counts a job that was just claimed.
fn claimed(job: job::Model, now: DateTime<Utc>) -> Claimed {
    if job.attempt == Attempt::FIRST {
        let could_begin = job.scheduled_at.unwrap_or(job.created_at);
        metrics().picked_up((now - could_begin).to_std().unwrap_or_default());
    }
    Claimed::new(job)
}

/// The condition that a job is of a class and version that the worker can run. It is a CASE, which no index serves:
/// without statistics, PostgreSQL would otherwise look up all jobs of the class and sort them.
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
