//! The repository of jobs, and the only writer of a job's status. The table is the queue; wake-ups only shorten the wait.

use std::time::Duration;

use media_domain::{
    clock::{Clock, to_micros},
    ids::JobId,
    job::{Attempt, JobStatus, RetryCount},
    permissions::ReadScope,
};
use media_telemetry::{TraceParent, metrics::metrics};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, ExprTrait as _, QueryFilter, sea_query::Expr};

use crate::connection::Batches;
use crate::{
    Database,
    entities::{job, media},
    pagination::{self, ListRequest, Page},
    read_condition,
};

mod claim;
mod complete;
mod complete_batch;
mod error;
mod heartbeat;
mod insert;
mod job_quota;
mod maintenance;
mod new_job;
mod project_fairness;
mod queue_stats;
mod retry_delay;
mod secrets;
mod state_machine;
mod statements;

pub use claim::{Claimed, Claims};
pub use complete::PresentMedia;
use complete_batch::Completion;
pub use error::{Created, JobError, Signalled};
pub use heartbeat::{HEARTBEATS_PER_LEASE, HeartbeatReply, HeartbeatRequest};
pub use maintenance::{PRUNE_BATCH, StrayLeases};
pub use new_job::NewJob;
pub use project_fairness::SlotUse;
pub use queue_stats::QueueStats;
pub use secrets::SecretsCipher;
pub use state_machine::Reschedule;

/// The number of tries of `create` while jobs that hold the unicity end at the same time.
const CREATE_TRIES: u32 = 5;

/// The repository of jobs.
#[derive(Clone, Debug)]
pub struct JobRepository {
    database: Database,
    clock: Clock,
    lease: Duration,
    insertions: Batches<job::Model, bool>,
    completions: Batches<Completion, Option<media::Model>>,
    /// The most unfinished jobs that one project may have.
    max_unfinished_jobs: Option<u32>,
    /// Encrypts the secrets of ended jobs, for `retry`.
    cipher: Option<SecretsCipher>,
}

impl JobRepository {
    /// Opens the repository. `lease` is the time for which a worker holds a job without a heartbeat.
    pub fn new(database: Database, clock: Clock, lease: Duration) -> Self {
        Self {
            insertions: Batches::new(&database, |database, jobs| {
                Box::pin(insert::insert_batch(database, jobs))
            }),
            completions: Batches::new(&database, |database, completions| {
                Box::pin(complete_batch::complete_batch(database, completions))
            }),
            database,
            clock,
            lease,
            max_unfinished_jobs: None,
            cipher: None,
        }
    }

    /// Sets the cipher of the secrets of failed and cancelled jobs. Without one, they are removed.
    #[must_use]
    pub fn cipher(self, cipher: Option<SecretsCipher>) -> Self {
        Self { cipher, ..self }
    }

    /// Limits the unfinished jobs of one project.
    #[must_use]
    pub fn max_unfinished_jobs(self, max_unfinished_jobs: Option<u32>) -> Self {
        Self {
            max_unfinished_jobs,
            ..self
        }
    }

    /// Creates a job, unless an unfinished one of its project holds its unicity.
    pub async fn create(&self, new: NewJob) -> Result<Created, JobError> {
        for _ in 0..CREATE_TRIES {
            let job = self.row_of(&new);
            let inserted =
                if let (Some(project), Some(limit)) = (&job.project_id, self.max_unfinished_jobs) {
                    self.insert_within(&job, project, limit).await?
                } else {
                    self.insertions.submit(job.clone()).await?
                };
            if inserted {
                metrics().job_entered(&job.job_class);
                return Ok(Created::New(job));
            }
            if let Some(existing) = self.find_holder(&new).await? {
                return Ok(Created::Existing(existing));
            }
        }
        Err(JobError::UnicityTaken)
    }

    /// The job with an identifier.
    pub async fn find(&self, id: JobId) -> Result<Option<job::Model>, DbErr> {
        job::Entity::find_by_id(id)
            .one(self.database.reader())
            .await
    }

    /// The job with an identifier, if the caller may read it.
    pub async fn find_readable(
        &self,
        id: JobId,
        scope: &ReadScope,
    ) -> Result<Option<job::Model>, DbErr> {
        job::Entity::find_by_id(id)
            .filter(read_condition(scope, job::Column::ProjectId))
            .one(self.database.reader())
            .await
    }

    /// A page of the jobs.
    pub async fn list(&self, request: ListRequest<job::Column>) -> Result<Page<job::Model>, DbErr> {
        pagination::read::<job::Entity>(self.database.reader(), request).await
    }

    /// The jobs with these identifiers that still exist, in no order.
    pub async fn find_all(&self, ids: Vec<JobId>) -> Result<Vec<job::Model>, DbErr> {
        job::Entity::find()
            .filter(job::Column::Id.is_in(ids))
            .all(self.database.reader())
            .await
    }

    /// Deletes a job in any status; its media stays. A worker that runs it finds its lease lost at its next heartbeat
    /// and stops. Returns whether there was one.
    pub async fn delete(&self, id: JobId) -> Result<bool, DbErr> {
        let delete = job::Entity::delete_by_id(id);
        Ok(self.database.write_query(&delete).await? == 1)
    }

    /// The time for which a worker holds a job without a heartbeat.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    async fn find_holder(&self, new: &NewJob) -> Result<Option<job::Model>, DbErr> {
        let Some(unicity) = &new.unicity else {
            return Ok(None);
        };
        let project = new.creator.project_id.as_deref().unwrap_or_default();
        // The row that the insert conflicted with is committed, so every reader sees it.
        job::Entity::find()
            .filter(job::Column::Unicity.eq(unicity.as_str()))
            .filter(Expr::cust("coalesce(project_id, '')").eq(project))
            // The condition of the partial index `jobs_unicity`.
            .filter(Expr::cust(format!(
                "unicity IS NOT NULL AND status IN {}",
                JobStatus::UNFINISHED_SQL
            )))
            .one(self.database.reader())
            .await
    }

    fn row_of(&self, new: &NewJob) -> job::Model {
        let now = self.clock.now();
        let scheduled_at = new.scheduled_at.map(to_micros);
        job::Model {
            id: JobId::at(now),
            job_class: new.job_class.to_owned(),
            priority: new.priority.get(),
            status: state_machine::status_by(scheduled_at, now),
            progress: 0,
            bytes_done: 0,
            bytes_total: None,
            retry_count: RetryCount::ZERO,
            max_retries: new.max_retries,
            attempt: Attempt::NONE,
            error: None,
            error_detail: None,
            unicity: new.unicity.as_ref().map(|u| u.as_str().to_owned()),
            scheduled_at,
            arguments_version: new.arguments_version,
            arguments: new.arguments.clone(),
            signal: None,
            worker_id: None,
            lease_until: None,
            media_id: None,
            created_by: new.creator.created_by.clone(),
            created_role: new.creator.created_role,
            project_id: new.creator.project_id.clone(),
            trace_parent: TraceParent::of_present_span().map(TraceParent::into_text),
            created_at: now,
            updated_at: now,
            started_at: None,
            finished_at: None,
        }
    }
}
