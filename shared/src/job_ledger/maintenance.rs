//! What has to be done to jobs from time to time. Every turn is bounded, and safe to run in every
//! worker at once.

use std::{
    collections::{BTreeMap, HashMap},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait, DatabaseBackend, DbErr, EntityTrait, FromQueryResult, PaginatorTrait, QueryFilter,
    QueryOrder, QuerySelect, Statement, Value,
    sea_query::{Expr, SimpleExpr},
};

use super::{JobLedger, Lease, LedgerError};
use crate::{
    entities::job,
    ids::JobId,
    job::{FailureCode, JobStatus},
    metrics::figures,
};

/// The most jobs that one turn moves or rescues.
const BATCH: u64 = 500;
/// The most jobs that one turn removes.
pub const PRUNE_BATCH: u64 = 500;

/// How far the jobs of the figures are counted: a queue of this length is long enough to act on, and
/// the count stays cheap.
const MAX_COUNTED: u64 = 100_000;

/// What waits and what runs now of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClassFigures {
    /// The class.
    pub class: String,
    /// Jobs that a free worker would take, counted up to 100,000 of all classes.
    pub pending: u64,
    /// How long the one of them has been pending that has been for longest.
    pub oldest_pending: Option<Duration>,
    /// Jobs that a worker holds.
    pub running: u64,
}

impl ClassFigures {
    /// Those of a class without jobs.
    pub fn nothing_of(class: &str) -> Self {
        Self {
            class: class.to_owned(),
            pending: 0,
            oldest_pending: None,
            running: 0,
        }
    }
}

/// Jobs of one class and status.
#[derive(FromQueryResult)]
struct Counted {
    job_class: String,
    status: JobStatus,
    jobs: i64,
    since: DateTime<Utc>,
}

/// A lease as it was found in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct SeenLease {
    lease: Lease,
    until: DateTime<Utc>,
}

/// Leases that end too far in the future, and when each was first seen.
#[derive(Debug, Default)]
pub struct StrayLeases(HashMap<SeenLease, Instant>);

impl StrayLeases {
    /// Those of `found` that have been seen for as long as `lease`. A lease that was renewed since is
    /// another one.
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

impl JobLedger {
    /// Makes scheduled jobs pending whose time has come. Returns how many.
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
               ORDER BY scheduled_at LIMIT {BATCH} {}) AND status = 'scheduled'",
            self.skip_locked()
        );
        self.execute(sql, [now.into()]).await
    }

    /// Takes jobs back from workers that were not heard of for the length of a lease. Returns how
    /// many.
    pub async fn rescue_expired(&self) -> Result<u64, LedgerError> {
        let expired = job::Column::LeaseUntil.lt(self.clock.now());
        let expired = self.find_leases(expired).await?;
        self.rescue(expired).await
    }

    /// Takes jobs back whose lease would last longer than any lease can, because the clock was set back
    /// after it was written, once it was not renewed for the length of a lease: `now` is of a clock that
    /// nobody sets. Returns how many.
    pub async fn rescue_stray(
        &self,
        watch: &mut StrayLeases,
        now: Instant,
    ) -> Result<u64, LedgerError> {
        let longest = self.clock.now() + self.lease * 2;
        let stray = self
            .find_leases(job::Column::LeaseUntil.gt(longest))
            .await?;
        self.rescue(watch.unrenewed(stray, self.lease, now)).await
    }

    /// Some of the leases that a condition on their end holds for.
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
            .limit(BATCH)
            .into_tuple::<(JobId, i32, DateTime<Utc>)>()
            .all(self.database.reader())
            .await?;
        let seen = found.into_iter().map(|(job_id, attempt, until)| SeenLease {
            lease: Lease { job_id, attempt },
            until,
        });
        Ok(seen.collect())
    }

    async fn rescue(&self, leases: Vec<SeenLease>) -> Result<u64, LedgerError> {
        let mut rescued = 0;
        let mut result = Ok(());
        for SeenLease { lease, until } in leases {
            let Lease { job_id, attempt } = lease;
            match self.expire(lease, until).await {
                Ok(job) => {
                    figures().rescued(1);
                    figures().attempt_failed(FailureCode::WorkerLost);
                    let status = job.status.as_str();
                    tracing::warn!(%job_id, attempt, status, "rescued a job whose worker was lost");
                    rescued += 1;
                }
                // Another worker was faster, or the lost one came back in time.
                Err(LedgerError::LeaseLost) => {}
                // One row that is locked or broken holds up no other.
                Err(error) => result = result.and(Err(error)),
            }
        }
        result.map(|()| rescued)
    }

    /// Removes jobs that ended longer ago than `retention`. Returns how many; as many as
    /// [`PRUNE_BATCH`] mean that there may be more.
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

    /// How many jobs are pending, counted no further than `limit`.
    pub async fn count_pending(&self, limit: u64) -> Result<u64, DbErr> {
        self.count_by("status = 'pending'", limit).await
    }

    /// What waits and what runs, of each class that has any.
    pub async fn figures(&self) -> Result<Vec<ClassFigures>, DbErr> {
        // The index on status holds each in the order of their creation.
        let counted = |status: &str| {
            format!(
                "SELECT job_class, '{status}' AS status, COUNT(*) AS jobs, MIN(updated_at) AS since \
                 FROM (SELECT job_class, updated_at FROM jobs WHERE status = '{status}' \
                   ORDER BY id LIMIT {MAX_COUNTED}) AS {status} GROUP BY job_class"
            )
        };
        let sql = format!("{} UNION ALL {}", counted("pending"), counted("running"));
        let statement = Statement::from_string(self.database.backend(), sql);
        let rows = Counted::find_by_statement(statement)
            .all(self.database.reader())
            .await?;
        let now = self.clock.now();
        let mut classes = BTreeMap::new();
        for row in rows {
            let figures = classes
                .entry(row.job_class)
                .or_insert_with_key(|class| ClassFigures::nothing_of(class));
            let jobs = u64::try_from(row.jobs).unwrap_or_default();
            if row.status == JobStatus::Pending {
                figures.pending = jobs;
                figures.oldest_pending = (now - row.since).to_std().ok().or(Some(Duration::ZERO));
            } else {
                figures.running = jobs;
            }
        }
        Ok(classes.into_values().collect())
    }

    async fn count_by(&self, condition: &'static str, limit: u64) -> Result<u64, DbErr> {
        job::Entity::find()
            .select_only()
            .column(job::Column::Id)
            .filter(Expr::cust(condition))
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
