//! How an attempt ends, and how clients steer a job: each locks the job's row, asks
//! [`transition::apply`] what becomes of it, and writes that.

use chrono::{DateTime, TimeDelta, Utc};
use sea_orm::{ActiveModelTrait, ActiveValue::Set, DbErr, EntityTrait, QuerySelect, SqlErr};

use super::{
    JobLedger, Lease, LedgerError, Reschedule, SecretsCipher, Signalled, Success, backoff,
    open_jobs, secrets,
    transition::{self, Event},
};
use crate::{
    database::Transaction,
    entities::{job, media},
    ids::JobId,
    job::{Failure, JobStatus, Signal},
    media::WritePrecondition,
    media_ledger::{self, NewMedia},
    metrics::figures,
};

/// How long a job waits for a host that never lets it in before that costs attempts.
const PATIENCE: TimeDelta = TimeDelta::days(3);

impl JobLedger {
    /// The attempt stored its media: in one transaction the blob becomes live, the one it replaces
    /// garbage, the media is recorded and the job has succeeded.
    pub async fn succeed(&self, lease: Lease, new: NewMedia) -> Result<media::Model, LedgerError> {
        let now = self.clock.now();
        let success = Success {
            lease,
            new: new.clone(),
            now,
        };
        match self.successes.submit(success).await? {
            Some(media) => Ok(media),
            None => self.succeed_in_steps(lease, new, now).await,
        }
    }

    async fn succeed_in_steps(
        &self,
        lease: Lease,
        new: NewMedia,
        now: DateTime<Utc>,
    ) -> Result<media::Model, LedgerError> {
        let (media, job) = self
            .database
            .transaction(move |transaction| {
                let new = new.clone();
                Box::pin(async move {
                    let job = held(transaction, lease).await?;
                    let shown_url = new.source_url.clone();
                    let media =
                        media_ledger::publish(transaction, new, &WritePrecondition::default(), now)
                            .await?;
                    let event = Event::Succeeded {
                        media_id: media.id,
                        size: media.size,
                    };
                    let mut row =
                        transition::apply(&job, event, now).map_err(|_| LedgerError::LeaseLost)?;
                    let arguments = job.arguments.clone();
                    row.arguments =
                        Set(transition::without_secrets(arguments, shown_url.as_deref()));
                    let job = row.update(transaction).await?;
                    Ok::<_, LedgerError>((media, job))
                })
            })
            .await?;
        count_end(&job.job_class, job.status);
        Ok(media)
    }

    /// The attempt failed: the job waits for another, or has failed if none is left or none can
    /// help. If the origin was not even asked, the job waits without an attempt spent. A signal that
    /// it bears is obeyed instead.
    pub async fn fail(&self, lease: Lease, failure: Failure) -> Result<job::Model, LedgerError> {
        self.settle(lease, Ending::Failed(failure)).await
    }

    /// The worker shuts down: the job waits for another worker, no attempt spent.
    pub async fn hand_back(&self, lease: Lease) -> Result<job::Model, LedgerError> {
        self.settle(lease, Ending::HandedBack).await
    }

    /// The worker stopped the attempt because of the signal that the job bears.
    pub async fn stopped(&self, lease: Lease) -> Result<job::Model, LedgerError> {
        self.settle(lease, Ending::Stopped).await
    }

    /// Takes back the lease of a worker that was not heard of, if it still ends at `until`: the worker may
    /// have renewed it since it was read.
    pub(super) async fn expire(
        &self,
        lease: Lease,
        until: DateTime<Utc>,
    ) -> Result<job::Model, LedgerError> {
        self.settle(lease, Ending::LeaseExpired { until }).await
    }

    /// Sends a signal to a job.
    pub async fn signal(&self, id: JobId, signal: Signal) -> Result<Signalled, LedgerError> {
        let (now, most) = (self.clock.now(), self.most_open);
        let cipher = self.cipher.clone();
        let job = self
            .database
            .transaction(move |transaction| {
                let cipher = cipher.clone();
                Box::pin(async move {
                    let job = locked(transaction, id)
                        .await?
                        .ok_or(LedgerError::NotFound)?;
                    let status = job.status;
                    let mut row = transition::apply(&job, Event::Signalled(signal), now)
                        .map_err(|_| LedgerError::SignalRefused { status, signal })?;
                    if signal == Signal::Retry {
                        let arguments = secrets::reveal(&job, cipher.as_ref());
                        row.arguments = Set(arguments.map_err(|_| LedgerError::SecretsRemoved)?);
                    }
                    conceal_if_final(&job, &mut row, cipher.as_ref());
                    let job = row.update(transaction).await.map_err(unicity_taken)?;
                    if status.is_final() && !job.status.is_final() {
                        let project = job.project_id.as_deref();
                        open_jobs::check_open(transaction, project, most).await?;
                    }
                    Ok::<_, LedgerError>(job)
                })
            })
            .await?;
        count_end(&job.job_class, job.status);
        Ok(match job.signal {
            Some(_) => Signalled::Requested(job),
            None => Signalled::Done(job),
        })
    }

    /// Changes what a waiting job waits for.
    pub async fn reschedule(
        &self,
        id: JobId,
        change: Reschedule,
    ) -> Result<job::Model, LedgerError> {
        let now = self.clock.now();
        self.database
            .transaction(move |transaction| {
                Box::pin(async move {
                    let job = locked(transaction, id)
                        .await?
                        .ok_or(LedgerError::NotFound)?;
                    let row = transition::apply(&job, Event::Rescheduled(change), now)
                        .map_err(|_| LedgerError::NotWaiting { status: job.status })?;
                    Ok(row.update(transaction).await?)
                })
            })
            .await
    }

    async fn settle(&self, lease: Lease, ending: Ending) -> Result<job::Model, LedgerError> {
        let now = self.clock.now();
        let cipher = self.cipher.clone();
        let job = self
            .database
            .transaction(move |transaction| {
                let (ending, cipher) = (ending.clone(), cipher.clone());
                Box::pin(async move {
                    let job = held(transaction, lease).await?;
                    let event = ending.into_event(&job, now)?;
                    let mut row =
                        transition::apply(&job, event, now).map_err(|_| LedgerError::LeaseLost)?;
                    conceal_if_final(&job, &mut row, cipher.as_ref());
                    Ok::<_, LedgerError>(row.update(transaction).await?)
                })
            })
            .await?;
        count_end(&job.job_class, job.status);
        Ok(job)
    }
}

/// Counts a job that has just come to an end.
pub(super) fn count_end(class: &str, status: JobStatus) {
    if status.is_final() {
        figures().job_ended(class, status.as_str());
    }
}

/// Takes the secrets out of the arguments of a job that has failed or was cancelled.
fn conceal_if_final(job: &job::Model, row: &mut job::ActiveModel, cipher: Option<&SecretsCipher>) {
    let ends = matches!(row.status, Set(status) if status.is_final());
    if ends {
        row.arguments = Set(secrets::conceal(job, cipher));
    }
}

/// How an attempt ended without success.
#[derive(Clone)]
enum Ending {
    Failed(Failure),
    HandedBack,
    Stopped,
    LeaseExpired { until: DateTime<Utc> },
}

impl Ending {
    fn into_event(self, job: &job::Model, now: DateTime<Utc>) -> Result<Event, LedgerError> {
        Ok(match self {
            Self::Failed(failure) if failure.postponed && may_wait(job, now) => Event::Postponed {
                until: now + backoff::after(failure.retry_after.unwrap_or_default()),
                failure,
            },
            Self::Failed(failure) => Event::Failed {
                retry_at: now + backoff::delay(job.retry_count, failure.retry_after),
                failure,
            },
            Self::HandedBack => Event::HandedBack,
            Self::Stopped => Event::Stopped,
            Self::LeaseExpired { until } if job.lease_until != Some(until) => {
                return Err(LedgerError::LeaseLost);
            }
            Self::LeaseExpired { .. } => Event::LeaseExpired,
        })
    }
}

/// Whether a job may still wait for its host without an attempt spent: one that is never let in must
/// end some day.
fn may_wait(job: &job::Model, now: DateTime<Utc>) -> bool {
    job.started_at.is_none_or(|since| now - since < PATIENCE)
}

/// The job, its row locked, if the lease still holds it.
async fn held(transaction: &Transaction, lease: Lease) -> Result<job::Model, LedgerError> {
    locked(transaction, lease.job_id)
        .await?
        .filter(|job| job.attempt == lease.attempt && job.lease_until.is_some())
        .ok_or(LedgerError::LeaseLost)
}

async fn locked(transaction: &Transaction, id: JobId) -> Result<Option<job::Model>, DbErr> {
    job::Entity::find_by_id(id)
        .lock_exclusive()
        .one(transaction)
        .await
}

/// Only `retry` can run into the unicity of another job; trying again would not help.
fn unicity_taken(error: DbErr) -> LedgerError {
    match error.sql_err() {
        Some(SqlErr::UniqueConstraintViolation(_)) => LedgerError::UnicityTaken,
        _ => error.into(),
    }
}
