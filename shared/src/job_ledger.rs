//! The book of jobs, and the only writer of a job's status. The table decides; tickets only wake.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{ColumnTrait, DbErr, EntityTrait, ExprTrait as _, QueryFilter, sea_query::Expr};

use crate::{
    access::{Denied, Sight},
    clock::Clock,
    database::{Batches, Database, LostRace},
    entities::{job, media},
    ids::JobId,
    job::{JobClass, JobStatus, Priority, RetryCount, Signal, Unicity},
    list::{self, ListRequest, Page},
    media_ledger::{Creator, PublishError},
    metrics::figures,
    telemetry::TraceParent,
};

mod backoff;
mod claim;
mod entry;
mod fairness;
mod maintenance;
mod open_jobs;
mod secrets;
mod settle;
mod success;
mod transition;

pub use claim::{Beat, Claims, HEARTBEATS_PER_LEASE, Pulse};
pub use fairness::SlotUse;
pub use maintenance::{ClassFigures, PRUNE_BATCH, StrayLeases};
pub use secrets::SecretsCipher;
use success::Success;
pub use transition::Reschedule;

/// The statuses in which a job holds its unicity, as the partial index `jobs_unicity` has them.
const HOLDS_UNICITY: &str =
    "unicity IS NOT NULL AND status IN ('scheduled','pending','running','paused')";
/// How often `create` looks again when the job that held the unicity ends under its eyes.
const CREATE_TRIES: u32 = 5;

/// The book of jobs.
#[derive(Clone, Debug)]
pub struct JobLedger {
    database: Database,
    clock: Clock,
    lease: Duration,
    entries: Batches<job::Model, bool>,
    successes: Batches<Success, Option<media::Model>>,
    /// The most unfinished jobs that one project may have.
    most_open: Option<u32>,
    /// Encrypts the secrets of jobs that `retry` may start again.
    cipher: Option<SecretsCipher>,
}

/// A worker's hold on a job: who writes about the job names it, and is refused once it is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The job.
    pub job_id: JobId,
    /// The fencing token.
    pub attempt: i32,
}

/// A job to be entered.
#[derive(Clone, Debug)]
pub struct NewJob {
    job_class: &'static str,
    arguments_version: i16,
    arguments: serde_json::Value,
    max_retries: RetryCount,
    priority: Priority,
    unicity: Option<Unicity>,
    scheduled_at: Option<DateTime<Utc>>,
    creator: Creator,
}

impl NewJob {
    /// A job of a class, with the defaults of the class.
    pub fn new<C: JobClass>(arguments: &C::Arguments) -> Result<Self, serde_json::Error> {
        Ok(Self {
            job_class: C::NAME,
            arguments_version: C::ARGUMENTS_VERSION,
            arguments: serde_json::to_value(arguments)?,
            max_retries: C::MAX_RETRIES,
            priority: Priority::default(),
            unicity: None,
            scheduled_at: None,
            creator: Creator::default(),
        })
    }

    /// How urgent it is.
    #[must_use]
    pub fn priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// What no other unfinished job may hold.
    #[must_use]
    pub fn unicity(self, unicity: Option<Unicity>) -> Self {
        Self { unicity, ..self }
    }

    /// Not before when.
    #[must_use]
    pub fn scheduled_at(self, scheduled_at: Option<DateTime<Utc>>) -> Self {
        Self {
            scheduled_at,
            ..self
        }
    }

    /// How many retries it has.
    #[must_use]
    pub fn max_retries(self, max_retries: RetryCount) -> Self {
        Self {
            max_retries,
            ..self
        }
    }

    /// Who asks for it.
    pub fn for_whom(&self) -> &Creator {
        &self.creator
    }

    /// Who asks for it.
    #[must_use]
    pub fn creator(self, creator: Creator) -> Self {
        Self { creator, ..self }
    }
}

/// What became of a job to be entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Created {
    /// It was entered.
    New(job::Model),
    /// An unfinished job holds its unicity already: this one.
    Existing(job::Model),
}

/// What became of a signal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signalled {
    /// The job has obeyed.
    Done(job::Model),
    /// The job runs; its worker will hear of it within a heartbeat.
    Requested(job::Model),
}

/// Why the book refused.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// There is no such job.
    #[error("there is no such job")]
    NotFound,
    /// The attempt is over: its lease ran out, or the job was deleted. Nothing was written.
    #[error("the lease on the job is lost")]
    LeaseLost,
    /// The job's status does not take the signal.
    #[error("a job that is {} does not take the signal `{}`", status.as_str(), signal.as_str())]
    SignalRefused {
        /// The job's status.
        status: JobStatus,
        /// The signal.
        signal: Signal,
    },
    /// The job runs or has ended: nothing about its waiting can change.
    #[error("a job that is {} does not wait; only a waiting job can be changed", status.as_str())]
    NotWaiting {
        /// The job's status.
        status: JobStatus,
    },
    /// Another unfinished job holds the unicity by now.
    #[error("another unfinished job holds the same unicity")]
    UnicityTaken,
    /// The job cannot be tried again: its secrets were removed when it ended.
    #[error(
        "the password, query values or headers of this import were removed when it ended; post it anew, or set \
         MEDIA_ENCRYPTION_KEY to keep those of later jobs for `retry`"
    )]
    SecretsRemoved,
    /// The stored bytes were given up before they could be recorded.
    #[error("the stored bytes were given up before they could be recorded")]
    BlobLost,
    /// What is at the media's path may not be replaced by whoever asked for the job.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The project has as many unfinished jobs as it may.
    #[error("the project may have {limit} unfinished jobs at once, and has them")]
    TooManyOpen {
        /// How many it may have.
        limit: u32,
    },
    /// The tables could not be read or written.
    #[error(transparent)]
    Database(#[from] DbErr),
}

impl LostRace for LedgerError {
    fn lost_race(&self) -> bool {
        matches!(self, Self::Database(error) if error.lost_race())
    }
}

impl From<PublishError> for LedgerError {
    fn from(error: PublishError) -> Self {
        match error {
            PublishError::BlobLost => Self::BlobLost,
            PublishError::Denied(denied) => Self::Denied(denied),
            // Imports have none.
            PublishError::PreconditionFailed(_) => Self::LeaseLost,
            PublishError::Database(error) => Self::Database(error),
        }
    }
}

impl JobLedger {
    /// Opens the book. `lease` is how long a worker holds a job without a heartbeat.
    pub fn new(database: Database, clock: Clock, lease: Duration) -> Self {
        Self {
            entries: Batches::new(&database, |database, jobs| {
                Box::pin(entry::enter(database, jobs))
            }),
            successes: Batches::new(&database, |database, successes| {
                Box::pin(success::at_once(database, successes))
            }),
            database,
            clock,
            lease,
            most_open: None,
            cipher: None,
        }
    }

    /// Keeps the secrets of jobs that have failed or were cancelled, encrypted. Without a cipher they are
    /// removed.
    #[must_use]
    pub fn cipher(self, cipher: Option<SecretsCipher>) -> Self {
        Self { cipher, ..self }
    }

    /// Lets no project have more than so many unfinished jobs.
    #[must_use]
    pub fn most_open(self, most_open: Option<u32>) -> Self {
        Self { most_open, ..self }
    }

    /// Enters a job, unless an unfinished one of its project holds its unicity.
    pub async fn create(&self, new: NewJob) -> Result<Created, LedgerError> {
        for _ in 0..CREATE_TRIES {
            let job = self.row_of(&new);
            let inserted = if let (Some(project), Some(most)) = (&job.project_id, self.most_open) {
                self.insert_within(&job, project, most).await?
            } else {
                self.entries.submit(job.clone()).await?
            };
            if inserted {
                figures().job_entered(&job.job_class);
                return Ok(Created::New(job));
            }
            if let Some(existing) = self.find_holder(&new).await? {
                return Ok(Created::Existing(existing));
            }
        }
        Err(LedgerError::UnicityTaken)
    }

    /// The job with an identifier.
    pub async fn find(&self, id: JobId) -> Result<Option<job::Model>, DbErr> {
        job::Entity::find_by_id(id)
            .one(self.database.reader())
            .await
    }

    /// The job with an identifier, if it is seen.
    pub async fn find_seen(&self, id: JobId, sight: &Sight) -> Result<Option<job::Model>, DbErr> {
        job::Entity::find_by_id(id)
            .filter(sight.condition(job::Column::ProjectId))
            .one(self.database.reader())
            .await
    }

    /// A page of the jobs.
    pub async fn list(&self, request: ListRequest<job::Column>) -> Result<Page<job::Model>, DbErr> {
        list::read::<job::Entity>(self.database.reader(), request).await
    }

    /// The jobs with these identifiers, in no order; those that are gone are missing.
    pub async fn find_all(&self, ids: Vec<JobId>) -> Result<Vec<job::Model>, DbErr> {
        job::Entity::find()
            .filter(job::Column::Id.is_in(ids))
            .all(self.database.reader())
            .await
    }

    /// Removes a job whatever its status; its media stays. A worker that runs it finds its lease
    /// lost at its next heartbeat and stops. Says whether there was one.
    pub async fn delete(&self, id: JobId) -> Result<bool, DbErr> {
        let delete = job::Entity::delete_by_id(id);
        Ok(self.database.write_query(&delete).await? == 1)
    }

    /// How long a worker holds a job without a heartbeat.
    pub fn lease(&self) -> Duration {
        self.lease
    }

    async fn find_holder(&self, new: &NewJob) -> Result<Option<job::Model>, DbErr> {
        let Some(unicity) = &new.unicity else {
            return Ok(None);
        };
        let project = new.creator.project_id.as_deref().unwrap_or_default();
        // The row that the insert met is committed, and so every reader sees it.
        job::Entity::find()
            .filter(job::Column::Unicity.eq(unicity.as_str()))
            .filter(Expr::cust("coalesce(project_id, '')").eq(project))
            .filter(Expr::cust(HOLDS_UNICITY))
            .one(self.database.reader())
            .await
    }

    fn row_of(&self, new: &NewJob) -> job::Model {
        let now = self.clock.now();
        let scheduled_at = new.scheduled_at.map(crate::clock::to_micros);
        job::Model {
            id: JobId::at(now),
            job_class: new.job_class.to_owned(),
            priority: new.priority.get(),
            status: transition::status_by(scheduled_at, now),
            progress: 0,
            bytes_done: 0,
            bytes_total: None,
            retry_count: 0,
            max_retries: new.max_retries,
            attempt: 0,
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
            created_role: new.creator.created_role.clone(),
            project_id: new.creator.project_id.clone(),
            trace_parent: TraceParent::of_present_span().map(TraceParent::into_text),
            created_at: now,
            updated_at: now,
            started_at: None,
            finished_at: None,
        }
    }
}

/// A job that was claimed, with the hold on it.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The job as it is now.
    pub job: job::Model,
    /// What the worker names in everything it writes about the job.
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

impl std::fmt::Display for Lease {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}#{}", self.job_id, self.attempt)
    }
}
