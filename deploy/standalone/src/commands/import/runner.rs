//! Runs imports on a service, and follows them.

use std::time::Duration;

use futures_util::{Stream, StreamExt as _, stream};
use serde_json::Value;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::{
    failure_source::describe,
    job_follower::{JobFollower, Update},
    rows::Row,
};
use crate::{
    client::{ApiClient, ClientError, Job, JobSnapshot, names},
    output::size,
    progress::{Display, Line},
};

/// The most imports at the same time.
const MAX_CONCURRENT_IMPORTS: usize = 32;
/// Timeout of requests after the interruption, in all.
const STOP_TIMEOUT: Duration = Duration::from_millis(600);

/// The outcome of an import.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The media is stored: its record.
    Imported(Value),
    /// The import failed: a stable code and a sentence.
    Failed { code: String, detail: String },
    /// The import was cancelled because the command was interrupted.
    Cancelled,
    /// The command was interrupted, and the service goes on.
    Unfinished,
    /// The command was interrupted before the import was requested.
    NotRequested,
}

/// The end of an import, as far as this command is concerned.
#[derive(Clone, Debug)]
pub(crate) struct Ended {
    /// The job, if one was created.
    pub(crate) job_id: Option<String>,
    /// The outcome.
    pub(crate) outcome: Outcome,
}

/// Runs imports.
pub(crate) struct Runner<'c> {
    client: &'c ApiClient,
    follower: JobFollower<'c>,
    display: &'c Display,
    shutdown: &'c CancellationToken,
    /// Whether an interruption cancels the jobs: the service stops with this command.
    cancels: bool,
}

impl<'c> Runner<'c> {
    /// Creates a runner. At `shutdown` it cancels its jobs if `cancels`, and leaves them to the service otherwise.
    pub(crate) fn new(
        client: &'c ApiClient,
        display: &'c Display,
        shutdown: &'c CancellationToken,
        cancels: bool,
    ) -> Self {
        Self {
            client,
            follower: JobFollower::new(client),
            display,
            shutdown,
            cancels,
        }
    }

    /// Runs imports concurrently, and gives each end to `on_end` with the position of its row.
    pub(crate) async fn run(&self, rows: &[Row], mut on_end: impl FnMut(usize, Ended)) {
        let mut running = Box::pin(self.start(rows));
        let ended = async {
            while let Some((position, ended)) = running.next().await {
                on_end(position, ended);
            }
        };
        tokio::select! {
            () = ended => {}
            never = self.follower.run() => match never {},
        }
    }

    fn start(&self, rows: &[Row]) -> impl Stream<Item = (usize, Ended)> {
        stream::iter(rows.iter().enumerate())
            .map(async |(position, row)| (position, self.import(row).await))
            .buffer_unordered(MAX_CONCURRENT_IMPORTS)
    }

    async fn import(&self, row: &Row) -> Ended {
        if self.shutdown.is_cancelled() {
            return Ended {
                job_id: row.earlier_job.clone(),
                outcome: Outcome::NotRequested,
            };
        }
        let mut line = self.display.add(&row.import);
        let (job_id, outcome) = match self.find_or_create(row).await {
            Ok(Some(id)) => {
                let outcome = self.follow(&id, row, &mut line).await;
                (Some(id), outcome)
            }
            Ok(None) => (None, Outcome::NotRequested),
            Err(error) => (None, failed(&error)),
        };
        match &outcome {
            Outcome::Imported(media) => line.finish(&sentence_of(media)),
            Outcome::Failed { code, detail } => {
                line.finish_failed(&format!("failed: {detail} ({code})"));
            }
            _ => drop(line),
        }
        Ended { job_id, outcome }
    }

    /// Returns the job of an earlier run that has not failed since, or a new one. None if the command is interrupted
    /// before the service has answered.
    async fn find_or_create(&self, row: &Row) -> Result<Option<String>, ClientError> {
        let found = async {
            if let Some(id) = &row.earlier_job {
                let ids = std::slice::from_ref(id);
                let found = self.client.snapshots(ids).await?.remove(id);
                if found.is_some_and(|found| !found.job.is_final() || found.job.has_succeeded()) {
                    return Ok(id.clone());
                }
            }
            Ok(self.client.create_job(&row.import).await?.id)
        };
        let too_late = async {
            self.shutdown.cancelled().await;
            // The answer names the job that is to be cancelled.
            sleep(STOP_TIMEOUT / 2).await;
        };
        tokio::select! {
            found = found => found.map(Some),
            () = too_late => Ok(None),
        }
    }

    async fn follow(&self, id: &str, row: &Row, line: &mut Line) -> Outcome {
        let mut updates = self.follower.follow(id);
        loop {
            let update = tokio::select! {
                update = updates.recv() => update,
                () = self.shutdown.cancelled() => return self.interrupt(id, row).await,
            };
            match update {
                Some(update) => {
                    if let Some(outcome) = self.on_update(id, row, line, update).await {
                        return outcome;
                    }
                }
                // Another row has the same job: they have the same unicity.
                None => updates = self.follower.follow(id),
            }
        }
    }

    /// Shows the state of a job. Returns the outcome if it has ended.
    async fn on_update(
        &self,
        id: &str,
        row: &Row,
        line: &mut Line,
        update: Update,
    ) -> Option<Outcome> {
        let JobSnapshot { job, media } = match update {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) => return Some(failed(&ClientError::deleted(id))),
            Err(error) => return Some(failed(&error)),
        };
        line.update(&job.attributes);
        if job.is_final() {
            Some(self.outcome_of(row, &job, media).await)
        } else {
            None
        }
    }

    /// The outcome of a job that has ended.
    async fn outcome_of(&self, row: &Row, job: &Job, media: Option<Value>) -> Outcome {
        match media {
            _ if !job.has_succeeded() => failure_of(job),
            Some(media) => Outcome::Imported(media),
            // Another import has replaced it since.
            None => self.media_at_path(row).await,
        }
    }

    async fn media_at_path(&self, row: &Row) -> Outcome {
        match self.client.media(&row.import.arguments.path).await {
            Ok(media) => Outcome::Imported(serde_json::to_value(media).unwrap_or_default()),
            Err(error) => failed(&error),
        }
    }

    async fn interrupt(&self, id: &str, row: &Row) -> Outcome {
        if !self.cancels {
            return Outcome::Unfinished;
        }
        let stopped = timeout(STOP_TIMEOUT, self.cancel(id, row)).await;
        stopped.unwrap_or(Outcome::Unfinished)
    }

    /// Cancels a job. Returns its outcome if it has just ended.
    async fn cancel(&self, id: &str, row: &Row) -> Outcome {
        if self.client.signal(id, "cancel").await.is_ok() {
            return Outcome::Cancelled;
        }
        let snapshots = self.client.snapshots(&[id.to_owned()]).await;
        match snapshots.ok().and_then(|mut found| found.remove(id)) {
            Some(JobSnapshot { job, media }) if job.is_final() => {
                self.outcome_of(row, &job, media).await
            }
            _ => Outcome::Unfinished,
        }
    }
}

fn failed(error: &ClientError) -> Outcome {
    Outcome::Failed {
        code: error.code().to_owned(),
        detail: error.to_string(),
    }
}

fn failure_of(job: &Job) -> Outcome {
    let attributes = &job.attributes;
    let code = attributes.error.as_deref().unwrap_or(&attributes.status);
    let detail = attributes
        .error_detail
        .as_deref()
        .unwrap_or("the job has ended without success");
    Outcome::Failed {
        code: code.to_owned(),
        detail: describe(code, &names::printable(detail)),
    }
}

fn sentence_of(media: &Value) -> String {
    let attributes = &media["attributes"];
    let text = |name: &str| names::printable(attributes[name].as_str().unwrap_or_default());
    format!(
        "imported {} ({}, {}) as {}",
        text("filename"),
        text("mime_type"),
        size(attributes["size"].as_u64().unwrap_or_default()),
        names::path_of(attributes)
    )
}
