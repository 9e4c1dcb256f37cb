//! Clients that cancel, pause, resume, retry and delete running imports at random moments, while bytes are
//! received and counted against the quota of the project.

use std::{sync::Arc, time::Duration};

use media_testkit::service::import;
use rand::{RngExt as _, rngs::StdRng};
use reqwest::{Method, StatusCode};
use serde_json::json;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Client, id_of},
    origin::Origin,
    tally::Tally,
};

/// The longest time from the start of an import to its interruption; a slow import takes a few seconds.
const MAX_HEAD_START_MS: u64 = 1500;
/// The number of polls until a job has the expected status.
const STATUS_TRIES: u32 = 200;
const STATUS_PAUSE: Duration = Duration::from_millis(50);

/// The expected end of an interrupted import.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// The job is gone; its media may exist.
    Deleted,
    /// The job is cancelled and has no media.
    Cancelled,
    /// The job is cancelled without a media, or succeeded first and has one.
    CancelledOrSucceeded,
    /// The job succeeded and has its media.
    Succeeded,
    /// A change was not acknowledged: the job has ended or is gone.
    Any,
}

/// An import that was interrupted.
#[derive(Debug)]
pub(crate) struct Interrupted {
    pub(crate) id: String,
    pub(crate) key: String,
    /// The number of its file.
    pub(crate) file: usize,
    pub(crate) ending: Ending,
    /// The interruptions that were sent.
    pub(crate) steps: Vec<&'static str>,
}

/// A client that interrupts its own imports.
pub(crate) struct InterruptingClient {
    client: Client,
    name: String,
    origin: Arc<Origin>,
    random: StdRng,
    done: Vec<Interrupted>,
    tally: Tally,
}

impl InterruptingClient {
    /// Creates a client. Its name is the resource of its media.
    pub(crate) fn new(client: Client, name: String, origin: Arc<Origin>, random: StdRng) -> Self {
        Self {
            client,
            name,
            origin,
            random,
            done: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// Imports slow files and interrupts the imports until it is stopped.
    pub(crate) async fn run(mut self, over: CancellationToken) -> (Vec<Interrupted>, Tally) {
        let mut number = 0;
        while !over.is_cancelled() {
            number += 1;
            let file = self.origin.choose_slow(&mut self.random);
            let key = format!("{}-{number}", self.name);
            let document = import(
                &json!({ "url": self.origin.url(file), "resource": self.name, "key": key }),
                json!({ "max_retries": 100, "priority": 2 }),
            );
            let api = self.random.random_range(0..2);
            let Some(id) = id_of(self.client.post(api, "/jobs", &document).await) else {
                sleep(STATUS_PAUSE).await;
                continue;
            };
            let mut job = Interrupted {
                id,
                key,
                file,
                ending: Ending::Succeeded,
                steps: Vec::new(),
            };
            self.wait_for(&job.id, &["running"], &over).await;
            self.pause().await;
            self.interrupt(&mut job, &over).await;
            self.done.push(job);
        }
        (self.done, self.tally)
    }

    async fn interrupt(&mut self, job: &mut Interrupted, over: &CancellationToken) {
        match self.random.random_range(0..6) {
            0 => self.delete(job).await,
            1 => self.cancel(job).await,
            2 => {
                self.cancel(job).await;
                self.wait_for(&job.id, &["cancelled"], over).await;
                self.retry(job).await;
            }
            _ => {
                let status = self.signal(job, "pause").await;
                if !status.is_some_and(|status| status.is_success()) {
                    return;
                }
                self.wait_for(&job.id, &["paused"], over).await;
                match self.random.random_range(0..4) {
                    // The bytes so far are kept for a next attempt, which never comes.
                    0 => self.delete(job).await,
                    1 => self.cancel(job).await,
                    _ => {
                        self.signal(job, "resume").await;
                    }
                }
            }
        }
    }

    async fn delete(&mut self, job: &mut Interrupted) {
        let path = format!("/jobs/{}", job.id);
        let api = self.random.random_range(0..2);
        let status = self.client.delete(api, &path).await;
        self.note(job, "delete", status);
        job.ending = match status {
            Some(StatusCode::NO_CONTENT) => Ending::Deleted,
            // Nothing has deleted it before: the check reports it as lost.
            Some(StatusCode::NOT_FOUND) => job.ending,
            _ => Ending::Any,
        };
    }

    async fn cancel(&mut self, job: &mut Interrupted) {
        job.ending = match self.signal(job, "cancel").await {
            Some(StatusCode::OK) => Ending::Cancelled,
            // A running job obeys unless it ends first; a conflict means that it has ended.
            Some(StatusCode::ACCEPTED | StatusCode::CONFLICT) => Ending::CancelledOrSucceeded,
            _ => Ending::Any,
        };
    }

    async fn retry(&mut self, job: &mut Interrupted) {
        let before = job.ending;
        job.ending = match self.signal(job, "retry").await {
            Some(StatusCode::OK) => Ending::Succeeded,
            Some(StatusCode::CONFLICT) => before,
            _ => Ending::Any,
        };
    }

    async fn signal(&mut self, job: &mut Interrupted, signal: &'static str) -> Option<StatusCode> {
        let api = self.random.random_range(0..2);
        let status = self.client.signal(api, &job.id, signal).await;
        self.note(job, signal, status);
        status
    }

    fn note(&mut self, job: &mut Interrupted, step: &'static str, status: Option<StatusCode>) {
        job.steps.push(step);
        self.tally.add(match status {
            Some(status) if status.is_success() => step,
            Some(StatusCode::CONFLICT) => "too late",
            _ => "not acknowledged",
        });
    }

    /// Waits until a job has one of these statuses or has ended, with a limit. A job between them is
    /// interrupted as well.
    async fn wait_for(&self, id: &str, statuses: &[&str], over: &CancellationToken) {
        let path = format!("/jobs/{id}");
        for _ in 0..STATUS_TRIES {
            let answer = self.client.send(0, Method::GET, &path, None).await;
            if let Some((StatusCode::OK, job)) = answer {
                let status = job["data"]["attributes"]["status"].as_str();
                let ended = ["succeeded", "failed", "cancelled"];
                if status.is_some_and(|now| statuses.contains(&now) || ended.contains(&now)) {
                    return;
                }
            }
            if over.is_cancelled() {
                return;
            }
            sleep(STATUS_PAUSE).await;
        }
    }

    async fn pause(&mut self) {
        let pause = self.random.random_range(0..MAX_HEAD_START_MS);
        sleep(Duration::from_millis(pause)).await;
    }
}
