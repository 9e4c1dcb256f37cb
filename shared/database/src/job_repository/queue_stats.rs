//! The state of the queue, for metrics.

use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use media_domain::job::JobStatus;
use sea_orm::{DbErr, FromQueryResult, Statement};

use super::JobRepository;

/// The limit to which jobs are counted: a queue of this length is long enough to act on, and the count stays cheap.
const MAX_COUNTED: u64 = 100_000;

/// The pending and running jobs of one class.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueueStats {
    /// The class.
    pub class: String,
    /// The pending jobs, counted up to 100,000 of all classes.
    pub pending: u64,
    /// The age of the oldest pending job.
    pub oldest_pending: Option<Duration>,
    /// The running jobs.
    pub running: u64,
}

impl QueueStats {
    /// The statistics of a class without jobs.
    pub fn empty(class: &str) -> Self {
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

impl JobRepository {
    /// The pending and running jobs of each class that has any.
    pub async fn queue_stats(&self) -> Result<Vec<QueueStats>, DbErr> {
        // The index on status is in the order of creation.
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
            let stats = classes
                .entry(row.job_class)
                .or_insert_with_key(|class| QueueStats::empty(class));
            let jobs = u64::try_from(row.jobs).unwrap_or_default();
            if row.status == JobStatus::Pending {
                stats.pending = jobs;
                stats.oldest_pending = (now - row.since).to_std().ok().or(Some(Duration::ZERO));
            } else {
                stats.running = jobs;
            }
        }
        Ok(classes.into_values().collect())
    }
}
