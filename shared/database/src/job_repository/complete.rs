//! The end of an attempt, and the signals of clients. Each locks the job's row, asks [`state_machine::apply`] for the
//! result, and writes it.

use chrono::{DateTime, TimeDelta, Utc};
use media_domain::{
    ids::{JobId, MediaId},
    job::{Failure, Lease, RetryDelay, Signal},
    media::WritePrecondition,
};
use media_telemetry::metrics::metrics;
use sea_orm::{
    ActiveModelTrait, ActiveValue::Set, DbErr, EntityTrait, IntoActiveModel as _, QuerySelect,
    SqlErr, TryIntoModel as _, prelude::Json,
};

use super::{
    Completion, JobError, JobRepository, Reschedule, SecretsCipher, Signalled, job_quota,
    retry_delay, secrets,
    state_machine::{self, Event},
};
use crate::{
    Transaction,
    entities::{job, media},
    media_repository::{self, NewMedia},
};

/// The time for which a job may wait for a host in back-off before that costs attempts.
const MAX_POSTPONEMENT: TimeDelta = TimeDelta::days(3);

/// A media that an attempt has found at its path: it may be moved or replaced meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PresentMedia {
    /// Its id, which stays if it is moved or replaced.
    pub id: MediaId,
    resource: String,
    key: Option<String>,
    sha256: String,
}

impl From<&media::Model> for PresentMedia {
    fn from(media: &media::Model) -> Self {
        Self {
            id: media.id,
            resource: media.resource.clone(),
            key: media.key.clone(),
            sha256: media.sha256.clone(),
        }
    }
}

impl JobRepository {
    /// Completes an attempt that has stored its media: in one transaction the blob becomes live, the blob of a replaced
    /// media garbage, the media is recorded and the job succeeds.
    pub async fn complete(&self, lease: Lease, new: NewMedia) -> Result<media::Model, JobError> {
        self.complete_if(lease, new, &WritePrecondition::default())
            .await
    }

    /// Completes an attempt like [`JobRepository::complete`], if a condition on the media at its path holds in the
    /// transaction.
    pub async fn complete_if(
        &self,
        lease: Lease,
        new: NewMedia,
        condition: &WritePrecondition,
    ) -> Result<media::Model, JobError> {
        let now = self.clock.now();
        // A batch completes imports to free paths only.
        if condition.evaluate(&[]).is_ok() {
            let completion = Completion {
                lease,
                new: new.clone(),
                now,
            };
            if let Some(media) = self.completions.submit(completion).await? {
                return Ok(media);
            }
        }
        self.complete_alone(lease, new, condition.clone(), now)
            .await
    }

    async fn complete_alone(
        &self,
        lease: Lease,
        new: NewMedia,
        condition: WritePrecondition,
        now: DateTime<Utc>,
    ) -> Result<media::Model, JobError> {
        let (media, job) = self
            .database
            .transaction(move |transaction| {
                let (new, condition) = (new.clone(), condition.clone());
                Box::pin(async move {
                    let job = held(transaction, lease).await?;
                    let shown_url = new.source_url.clone();
                    let media =
                        media_repository::publish(transaction, new, &condition, now).await?;
                    let row = success(&job, &media, shown_url.as_deref(), now)?;
                    let job = row.update(transaction).await?;
                    Ok::<_, JobError>((media, job))
                })
            })
            .await?;
        count_if_ended(&job);
        Ok(media)
    }

    /// Completes an attempt with the media that it has found at its path: nothing is replaced. `origin` are the validators
    /// that its origin has now, if they are to be kept; `shown_url` is the redacted URL of the job. Returns nothing, and
    /// changes nothing, if the media is gone, moved or replaced by now.
    pub async fn complete_with(
        &self,
        lease: Lease,
        present: PresentMedia,
        origin: Option<Json>,
        shown_url: String,
    ) -> Result<Option<media::Model>, JobError> {
        let now = self.clock.now();
        let completed = self
            .database
            .transaction(move |transaction| {
                let (origin, shown_url) = (origin.clone(), shown_url.clone());
                let present = present.clone();
                Box::pin(async move {
                    let job = held(transaction, lease).await?;
                    let found = media::Entity::find_by_id(present.id).lock_exclusive();
                    let found = found.one(transaction).await?;
                    let is_same =
                        |media: &media::Model| !media.is_expired(now) && present == media.into();
                    let Some(media) = found.filter(is_same) else {
                        return Ok(None);
                    };
                    let row = success(&job, &media, Some(&shown_url), now)?;
                    let job = row.update(transaction).await?;
                    // No attribute that readers see changes.
                    let mut row = media.clone().into_active_model();
                    row.origin.set_if_not_equals(origin.or(media.origin));
                    let media = if row.is_changed() {
                        row.update(transaction).await?
                    } else {
                        row.try_into_model()?
                    };
                    Ok::<_, JobError>(Some((media, job)))
                })
            })
            .await?;
        Ok(completed.map(|(media, job)| {
            count_if_ended(&job);
            media
        }))
    }

    /// Ends an attempt that failed: the job waits for another attempt, or has failed if none is left or none can help.
    /// If the origin was not asked, no attempt is spent. A signal to the job is obeyed instead.
    pub async fn fail(&self, lease: Lease, failure: Failure) -> Result<job::Model, JobError> {
        self.end_attempt(lease, AttemptOutcome::Failed(failure))
            .await
    }

    /// Releases a job whose worker shuts down: the job waits for another worker, and no attempt is spent.
    pub async fn release(&self, lease: Lease) -> Result<job::Model, JobError> {
        self.end_attempt(lease, AttemptOutcome::Released).await
    }

    /// Ends an attempt that the worker stopped because of a signal.
    pub async fn stopped(&self, lease: Lease) -> Result<job::Model, JobError> {
        self.end_attempt(lease, AttemptOutcome::Stopped).await
    }

    /// Ends the lease of a lost worker, if it still ends at `until`: the worker may have renewed it since it was read.
    pub(super) async fn expire(
        &self,
        lease: Lease,
        until: DateTime<Utc>,
    ) -> Result<job::Model, JobError> {
        self.end_attempt(lease, AttemptOutcome::LeaseExpired { until })
            .await
    }

    /// Sends a signal to a job.
    pub async fn signal(&self, id: JobId, signal: Signal) -> Result<Signalled, JobError> {
        let (now, limit) = (self.clock.now(), self.max_unfinished_jobs);
        let cipher = self.cipher.clone();
        let job = self
            .database
            .transaction(move |transaction| {
                let cipher = cipher.clone();
                Box::pin(async move {
                    let job = locked(transaction, id).await?.ok_or(JobError::NotFound)?;
                    let status = job.status;
                    let mut row = state_machine::apply(&job, Event::Signalled(signal), now)
                        .map_err(|_| JobError::SignalRefused { status, signal })?;
                    if signal == Signal::Retry {
                        let arguments = secrets::reveal(&job, cipher.as_ref());
                        row.arguments = Set(arguments.map_err(|_| JobError::SecretsRemoved)?);
                    }
                    conceal_if_final(&job, &mut row, cipher.as_ref());
                    let job = row.update(transaction).await.map_err(unicity_taken)?;
                    if status.is_final() && !job.status.is_final() {
                        let project = job.project_id.as_deref();
                        job_quota::check_reopened(transaction, project, limit).await?;
                    }
                    Ok::<_, JobError>(job)
                })
            })
            .await?;
        count_if_ended(&job);
        Ok(match job.signal {
            Some(_) => Signalled::Requested(job),
            None => Signalled::Done(job),
        })
    }

    /// Changes the priority or schedule of a waiting job.
    pub async fn reschedule(&self, id: JobId, change: Reschedule) -> Result<job::Model, JobError> {
        let now = self.clock.now();
        self.database
            .transaction(move |transaction| {
                Box::pin(async move {
                    let job = locked(transaction, id).await?.ok_or(JobError::NotFound)?;
                    let row = state_machine::apply(&job, Event::Rescheduled(change), now)
                        .map_err(|_| JobError::NotWaiting { status: job.status })?;
                    Ok(row.update(transaction).await?)
                })
            })
            .await
    }

    async fn end_attempt(
        &self,
        lease: Lease,
        outcome: AttemptOutcome,
    ) -> Result<job::Model, JobError> {
        let now = self.clock.now();
        let cipher = self.cipher.clone();
        let job = self
            .database
            .transaction(move |transaction| {
                let (outcome, cipher) = (outcome.clone(), cipher.clone());
                Box::pin(async move {
                    let job = held(transaction, lease).await?;
                    let event = outcome.into_event(&job, now)?;
                    let mut row =
                        state_machine::apply(&job, event, now).map_err(|_| JobError::LeaseLost)?;
                    conceal_if_final(&job, &mut row, cipher.as_ref());
                    Ok::<_, JobError>(row.update(transaction).await?)
                })
            })
            .await?;
        count_if_ended(&job);
        Ok(job)
    }
}

/// The row of a job whose attempt has succeeded with a media.
fn success(
    job: &job::Model,
    media: &media::Model,
    shown_url: Option<&str>,
    now: DateTime<Utc>,
) -> Result<job::ActiveModel, JobError> {
    let event = Event::Succeeded {
        media_id: media.id,
        size: media.size,
    };
    let mut row = state_machine::apply(job, event, now).map_err(|_| JobError::LeaseLost)?;
    let arguments = job.arguments.clone();
    row.arguments = Set(state_machine::without_secrets(arguments, shown_url));
    Ok(row)
}

fn count_if_ended(job: &job::Model) {
    if job.status.is_final() {
        metrics().job_ended(&job.job_class, job.status.as_str());
    }
}

/// Removes or encrypts the secrets of a job that has failed or was cancelled.
fn conceal_if_final(job: &job::Model, row: &mut job::ActiveModel, cipher: Option<&SecretsCipher>) {
    let ends = matches!(row.status, Set(status) if status.is_final());
    if ends {
        row.arguments = Set(secrets::conceal(job, cipher));
    }
}

/// The outcome of an attempt without success.
#[derive(Clone)]
enum AttemptOutcome {
    Failed(Failure),
    Released,
    Stopped,
    LeaseExpired { until: DateTime<Utc> },
}

impl AttemptOutcome {
    fn into_event(self, job: &job::Model, now: DateTime<Utc>) -> Result<Event, JobError> {
        Ok(match self {
            Self::Failed(failure) => match failure.delay {
                RetryDelay::Postponed(wait) if may_wait(job, now) => Event::Postponed {
                    until: now + retry_delay::with_jitter(wait),
                    failure,
                },
                delay => Event::Failed {
                    retry_at: now + retry_delay::after_failure(job.retry_count, delay),
                    failure,
                },
            },
            Self::Released => Event::Released,
            Self::Stopped => Event::Stopped,
            Self::LeaseExpired { until } if job.lease_until != Some(until) => {
                return Err(JobError::LeaseLost);
            }
            Self::LeaseExpired { .. } => Event::LeaseExpired,
        })
    }
}

/// Whether a job may still wait for its host without spending an attempt: it must end some day.
fn may_wait(job: &job::Model, now: DateTime<Utc>) -> bool {
    job.started_at
        .is_none_or(|since| now - since < MAX_POSTPONEMENT)
}

/// Locks and returns the job, if the lease still holds.
async fn held(transaction: &Transaction, lease: Lease) -> Result<job::Model, JobError> {
    locked(transaction, lease.job_id)
        .await?
        .filter(|job| job.attempt == lease.attempt && job.lease_until.is_some())
        .ok_or(JobError::LeaseLost)
}

async fn locked(transaction: &Transaction, id: JobId) -> Result<Option<job::Model>, DbErr> {
    job::Entity::find_by_id(id)
        .lock_exclusive()
        .one(transaction)
        .await
}

/// Only `retry` can conflict with the unicity of another job; trying again would not help.
fn unicity_taken(error: DbErr) -> JobError {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => JobError::UnicityTaken,
        _ => error.into(),
    }
}
