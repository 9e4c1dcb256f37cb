//! The state machine of a job, as a pure function from a job and an event to the changed columns. Claims and promotions,
//! which change many rows at once, are in [`super::claim`] and [`super::maintenance`].

use chrono::{DateTime, Utc};
use sea_orm::{ActiveValue::Set, IntoActiveModel, prelude::Json};

use crate::entities::job;
use media_domain::{
    ids::MediaId,
    job::{Failure, FailureCode, JobStatus, Priority, RetryCount, Signal},
};

/// An event in the life of a job.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// The attempt has stored a media of `size` bytes.
    Succeeded { media_id: MediaId, size: i64 },
    /// The attempt has failed; `retry_at` is the time of the next one, if that can help.
    Failed {
        failure: Failure,
        retry_at: DateTime<Utc>,
    },
    /// The attempt did not begin, because the origin is in back-off until then.
    Postponed {
        failure: Failure,
        until: DateTime<Utc>,
    },
    /// The worker shuts down and releases the job.
    Released,
    /// The worker has obeyed the job's signal.
    Stopped,
    /// The worker did not renew its lease.
    LeaseExpired,
    /// A client has sent a signal.
    Signalled(Signal),
    /// A client has changed the priority or schedule of a waiting job.
    Rescheduled(Reschedule),
}

/// A change of a waiting job. Fields that are None stay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reschedule {
    /// The new priority.
    pub priority: Option<Priority>,
    /// The new schedule; `Some(None)` removes it.
    pub scheduled_at: Option<Option<DateTime<Utc>>>,
}

/// The job's status does not allow the event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Refused;

/// Applies an event to a job. Returns the columns to write.
pub(super) fn apply(
    job: &job::Model,
    event: Event,
    now: DateTime<Utc>,
) -> Result<job::ActiveModel, Refused> {
    let mut row = job.clone().into_active_model();
    row.updated_at = Set(now);
    match event {
        Event::Signalled(signal) => signalled(job, row, signal, now),
        Event::Rescheduled(change) => rescheduled(job, row, change, now),
        _ if job.status != JobStatus::Running => Err(Refused),
        Event::Succeeded { media_id, size } => Ok(succeeded(row, media_id, size, now)),
        Event::Failed { failure, retry_at } => {
            let retry = failure.code.is_retryable();
            Ok(failed(
                job,
                row,
                &failure,
                retry.then_some(Retry::At(retry_at)),
                now,
            ))
        }
        Event::Postponed { failure, until } => {
            row.error = Set(Some(failure.code.as_str().to_owned()));
            row.error_detail = Set(Some(failure.detail));
            if let Some(signal) = job.signal {
                return Ok(obeyed(row, signal, now));
            }
            row.scheduled_at = Set(Some(until));
            Ok(waiting(released(row), JobStatus::Scheduled))
        }
        Event::LeaseExpired => {
            let failure = Failure::new(
                FailureCode::WorkerLost,
                "the worker that ran this job was lost; an attempt is spent on it",
            );
            Ok(failed(job, row, &failure, Some(Retry::Now), now))
        }
        Event::Released | Event::Stopped => Ok(match job.signal {
            Some(signal) => obeyed(row, signal, now),
            None => waiting(released(row), JobStatus::Pending),
        }),
    }
}

/// The end of a job with success. [`super::statements::end_jobs`] does the same with many rows.
pub(super) fn succeeded(
    row: job::ActiveModel,
    media_id: MediaId,
    size: i64,
    now: DateTime<Utc>,
) -> job::ActiveModel {
    let row = job::ActiveModel {
        media_id: Set(Some(media_id)),
        bytes_done: Set(size),
        bytes_total: Set(Some(size)),
        progress: Set(100),
        error: Set(None),
        error_detail: Set(None),
        ..released(row)
    };
    ended(row, JobStatus::Succeeded, now)
}

/// The arguments of a succeeded job without their secrets: with the redacted URL, and without headers.
pub(super) fn without_secrets(mut arguments: Json, shown_url: Option<&str>) -> Json {
    if let (Some(url), Some(members)) = (shown_url, arguments.as_object_mut()) {
        members.remove("headers");
        members.insert("url".to_owned(), url.into());
    }
    arguments
}

/// The time of the attempt after a failed one.
#[derive(Clone, Copy)]
enum Retry {
    Now,
    At(DateTime<Utc>),
}

fn failed(
    job: &job::Model,
    mut row: job::ActiveModel,
    failure: &Failure,
    retry: Option<Retry>,
    now: DateTime<Utc>,
) -> job::ActiveModel {
    row.error = Set(Some(failure.code.as_str().to_owned()));
    row.error_detail = Set(Some(failure.detail.clone()));
    if let Some(signal) = job.signal {
        return obeyed(row, signal, now);
    }
    let Some(retry) = retry.filter(|_| job.retry_count < job.max_retries) else {
        return ended(released(row), JobStatus::Failed, now);
    };
    row.retry_count = Set(job.retry_count.next());
    let mut row = released(row);
    match retry {
        Retry::Now => waiting(row, JobStatus::Pending),
        Retry::At(at) => {
            row.scheduled_at = Set(Some(at));
            waiting(row, JobStatus::Scheduled)
        }
    }
}

fn signalled(
    job: &job::Model,
    mut row: job::ActiveModel,
    signal: Signal,
    now: DateTime<Utc>,
) -> Result<job::ActiveModel, Refused> {
    if !signal.is_allowed_in(job.status) {
        return Err(Refused);
    }
    match signal {
        Signal::Cancel | Signal::Pause if job.status == JobStatus::Running => {
            // A later pause does not replace a cancel.
            if job.signal != Some(Signal::Cancel) {
                row.signal = Set(Some(signal));
            }
            Ok(row)
        }
        Signal::Cancel | Signal::Pause => Ok(obeyed(row, signal, now)),
        Signal::Resume => Ok(waiting(row, status_by(job.scheduled_at, now))),
        Signal::Retry => {
            row.retry_count = Set(RetryCount::ZERO);
            row.error = Set(None);
            row.error_detail = Set(None);
            row.scheduled_at = Set(None);
            Ok(waiting(row, JobStatus::Pending))
        }
    }
}

fn rescheduled(
    job: &job::Model,
    mut row: job::ActiveModel,
    change: Reschedule,
    now: DateTime<Utc>,
) -> Result<job::ActiveModel, Refused> {
    if !matches!(
        job.status,
        JobStatus::Pending | JobStatus::Scheduled | JobStatus::Paused
    ) {
        return Err(Refused);
    }
    if let Some(priority) = change.priority {
        row.priority = Set(priority.get());
    }
    if let Some(scheduled_at) = change.scheduled_at {
        row.scheduled_at = Set(scheduled_at);
        if job.status != JobStatus::Paused {
            row.status = Set(status_by(scheduled_at, now));
        }
    }
    Ok(row)
}

/// The status of a waiting job: scheduled before its time, pending after it.
pub(super) fn status_by(scheduled_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> JobStatus {
    if scheduled_at.is_some_and(|at| at > now) {
        JobStatus::Scheduled
    } else {
        JobStatus::Pending
    }
}

fn obeyed(row: job::ActiveModel, signal: Signal, now: DateTime<Utc>) -> job::ActiveModel {
    let row = released(row);
    match signal {
        Signal::Cancel => ended(row, JobStatus::Cancelled, now),
        Signal::Pause => waiting(row, JobStatus::Paused),
        // These take effect at once and are never stored.
        Signal::Resume | Signal::Retry => waiting(row, JobStatus::Pending),
    }
}

/// Removes the lease and the signal.
fn released(mut row: job::ActiveModel) -> job::ActiveModel {
    row.worker_id = Set(None);
    row.lease_until = Set(None);
    row.signal = Set(None);
    row
}

fn ended(mut row: job::ActiveModel, status: JobStatus, now: DateTime<Utc>) -> job::ActiveModel {
    row.status = Set(status);
    row.finished_at = Set(Some(now));
    row
}

fn waiting(mut row: job::ActiveModel, status: JobStatus) -> job::ActiveModel {
    row.status = Set(status);
    row.finished_at = Set(None);
    row.progress = Set(0);
    row.bytes_done = Set(0);
    row.bytes_total = Set(None);
    row
}
