//! Maintenance of jobs. Every turn is bounded, and safe to run in every worker at once.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use media_domain::{
    ids::JobId,
    job::{Attempt, FailureCode, Lease},
};
use media_telemetry::metrics::metrics;
use sea_orm::{
    ColumnTrait, DatabaseBackend, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect, Value,
    sea_query::{Expr, SimpleExpr},
};

use super::{JobError, JobRepository};
use crate::entities::job;

/// The most jobs that one turn promotes or rescues.
const MAX_JOBS_PER_TURN: u64 = 500;
/// The most jobs that one turn prunes.
pub const PRUNE_BATCH: u64 = 500;

/// A lease as the table has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct SeenLease {
    lease: Lease,
    until: DateTime<Utc>,
}

/// Leases that end too far in the future, with the time at which each was first seen.
#[derive(Debug, Default)]
pub struct StrayLeases(HashMap<SeenLease, Instant>);

impl StrayLeases {
    /// The leases in `found` that were first seen longer ago than `lease`. A renewed lease counts as another one.
    fn unrenewed(
        &mut self,
        found: Vec<SeenLease>,
        lease: Duration,
        now: Instant,
    ) -> Vec<SeenLease> {
        let before = std::mem::take(&mut self.0);
        let first_seen = |seen: &SeenLease| before.get(seen).copied().unwrap_or(now);
        self.0 = found
            .into_iter()
            .map(|seen| (seen, first_seen(&seen)))
            .collect();
        let is_over = |since: &Instant| now.duration_since(*since) > lease;
        let over = self.0.iter().filter(|(_, since)| is_over(since));
        over.map(|(seen, _)| *seen).collect()
    }
}

impl JobRepository {
    /// Makes due scheduled jobs pending. Returns their number.
    pub async fn promote_due(&self) -> Result<u64, DbErr> {
        let now = self.clock.now();
        let due = job::Entity::find()
            .select_only()
            .column(job::Column::Id)
            .filter(Expr::cust("status = 'scheduled'"))
            .filter(job::Column::ScheduledAt.lte(now))
            .limit(1)
            .into_tuple::<JobId>()
            .one(self.database.reader())
            .await?;
        // Most turns find nothing, and then nothing waits for the write lock.
        if due.is_none() {
            return Ok(0);
        }
        let sql = format!(
            "UPDATE jobs SET status = 'pending', updated_at = $1 WHERE id IN ( \
               SELECT id FROM jobs WHERE status = 'scheduled' AND scheduled_at <= $1 \
               ORDER BY scheduled_at LIMIT {MAX_JOBS_PER_TURN} {}) AND status = 'scheduled'",
            self.skip_locked()
        );
        self.execute(sql, [now.into()]).await
    }

    /// Rescues jobs whose lease has expired. Returns their number.
    pub async fn rescue_expired(&self) -> Result<u64, JobError> {
        let expired = job::Column::LeaseUntil.lt(self.clock.now());
        let expired = self.find_leases(expired).await?;
        self.rescue(expired).await
    }

    /// Rescues jobs whose lease ends later than any lease can, because the clock was set back after it was written, once
    /// it was not renewed for the length of a lease by the monotonic clock `now`. Returns their number.
    pub async fn rescue_stray(
        &self,
        watch: &mut StrayLeases,
        now: Instant,
    ) -> Result<u64, JobError> {
        let longest = self.clock.now() + self.lease * 2;
        let stray = self
            .find_leases(job::Column::LeaseUntil.gt(longest))
            .await?;
        self.rescue(watch.unrenewed(stray, self.lease, now)).await
    }

    /// Running jobs whose lease end fulfils a condition.
    async fn find_leases(&self, condition: SimpleExpr) -> Result<Vec<SeenLease>, DbErr> {
        let found = job::Entity::find()
            .select_only()
            .columns([
                job::Column::Id,
                job::Column::Attempt,
                job::Column::LeaseUntil,
            ])
            .filter(Expr::cust("status = 'running'"))
            .filter(condition)
            .order_by_asc(job::Column::LeaseUntil)
            .limit(MAX_JOBS_PER_TURN)
            .into_tuple::<(JobId, Attempt, DateTime<Utc>)>()
            .all(self.database.reader())
            .await?;
        let seen = found.into_iter().map(|(job_id, attempt, until)| SeenLease {
            lease: Lease { job_id, attempt },
            until,
        });
        Ok(seen.collect())
    }

    async fn rescue(&self, leases: Vec<SeenLease>) -> Result<u64, JobError> {
        let mut rescued = 0;
        let mut result = Ok(());
        for SeenLease { lease, until } in leases {
            let Lease { job_id, attempt } = lease;
            match self.expire(lease, until).await {
                Ok(job) => {
                    metrics().rescued(1);
                    metrics().attempt_failed(FailureCode::WorkerLost);
                    let status = job.status.as_str();
                    tracing::warn!(%job_id, attempt = attempt.get(), status, "rescued a job whose worker was lost");
                    rescued += 1;
                }
                // Another worker was faster, or the lost one renewed the lease.
                Err(JobError::LeaseLost) => {}
                // A locked or broken row does not stop the others.
                Err(error) => result = result.and(Err(error)),
            }
        }
        result.map(|()| rescued)
    }

    /// Deletes jobs that ended longer ago than `retention`. Returns their number; as many as [`PRUNE_BATCH`] mean that
    /// there may be more.
    pub async fn prune(&self, retention: Duration) -> Result<u64, DbErr> {
        let Ok(retention) = chrono::Duration::from_std(retention) else {
            return Ok(0);
        };
        let Some(before) = self.clock.now().checked_sub_signed(retention) else {
            return Ok(0);
        };
        let sql = format!(
            "DELETE FROM jobs WHERE id IN ( \
               SELECT id FROM jobs WHERE finished_at IS NOT NULL AND finished_at < $1 \
               ORDER BY finished_at LIMIT {PRUNE_BATCH} {})",
            self.skip_locked()
        );
        self.execute(sql, [before.into()]).await
    }

    /// The number of pending jobs, counted no further than `limit`.
    pub async fn count_pending(&self, limit: u64) -> Result<u64, DbErr> {
        job::Entity::find()
            .select_only()
            .column(job::Column::Id)
            .filter(Expr::cust("status = 'pending'"))
            .limit(limit)
            .count(self.database.reader())
            .await
    }

    pub(super) fn skip_locked(&self) -> &'static str {
        // SQLite has one writer at a time and needs no row locks.
        match self.database.backend() {
            DatabaseBackend::Postgres => "FOR UPDATE SKIP LOCKED",
            _ => "",
        }
    }

    async fn execute<const N: usize>(&self, sql: String, values: [Value; N]) -> Result<u64, DbErr> {
        self.database.write_sql(sql, values).await
    }
}
