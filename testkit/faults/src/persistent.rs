//! Persistent clients, which wait for every response and remember what was acknowledged. At the end the
//! service must hold exactly that. After an operation without an acknowledgement, a media or job may have its
//! old or its new state; the client leaves it alone from then on, since the operation may still take effect.

use std::{collections::BTreeMap, time::Duration};

use media_testkit::service::{FAR_FUTURE, import};
use rand::{Rng as _, RngExt as _, rngs::StdRng};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::{
    client::{Client, file_path, id_of, priority_document},
    tally::Tally,
};

/// The longest pause between two requests of a client, in milliseconds.
const MAX_PAUSE_MS: u64 = 60;
/// The number of media that one client uses.
const MEDIA_COUNT: usize = 40;
/// The largest upload in bytes.
const MAX_UPLOAD_BYTES: usize = 40_000;

/// The contents that a media may have; the last one was requested last.
type Candidates = Vec<Option<Vec<u8>>>;

pub(crate) struct PersistentClient {
    client: Client,
    name: String,
    url: String,
    random: StdRng,
    acknowledged: Acknowledged,
}

/// The state that was acknowledged to a client.
#[derive(Default)]
pub(crate) struct Acknowledged {
    places: BTreeMap<String, Candidates>,
    /// The paths of media in use.
    in_use: Vec<String>,
    jobs: Vec<AcknowledgedJob>,
    /// Broken promises that were found during the run.
    broken: Vec<String>,
    pub(crate) tally: Tally,
}

/// A job in the far future, as it was last acknowledged.
struct AcknowledgedJob {
    id: String,
    priority: i64,
    status: &'static str,
    is_deleted: bool,
    /// Whether a change of it was not acknowledged.
    is_open: bool,
}

impl PersistentClient {
    pub(crate) fn new(client: Client, name: String, url: String, random: StdRng) -> Self {
        Self {
            client,
            name,
            url,
            random,
            acknowledged: Acknowledged::default(),
        }
    }

    /// Uploads, replaces, reads and deletes media, and creates, changes and deletes jobs until it is stopped.
    pub(crate) async fn run(mut self, over: CancellationToken) -> Acknowledged {
        while !over.is_cancelled() {
            let api = self.random.random_range(0..2);
            match self.random.random_range(0..10) {
                0..4 => self.upload(api).await,
                4 => self.delete(api).await,
                5 => self.read(api).await,
                6..8 => self.create_job(api).await,
                8 => self.change_job(api).await,
                _ => self.delete_job(api).await,
            }
            let pause = self.random.random_range(0..MAX_PAUSE_MS);
            sleep(Duration::from_millis(pause)).await;
        }
        self.acknowledged
    }

    async fn upload(&mut self, api: usize) {
        let is_new = self.acknowledged.in_use.len() < MEDIA_COUNT;
        let place = if is_new {
            let place = format!("{}/place-{}", self.name, self.acknowledged.places.len());
            self.acknowledged.places.insert(place.clone(), vec![None]);
            self.acknowledged.in_use.push(place.clone());
            place
        } else {
            self.place()
        };
        let mut bytes = vec![0; self.random.random_range(0..MAX_UPLOAD_BYTES)];
        self.random.fill_bytes(&mut bytes);
        let status = self.client.upload(api, &place, &bytes).await;
        let kind = if is_new { "uploads" } else { "replacements" };
        self.acknowledged
            .record_answer(&place, kind, Some(bytes), status);
    }

    async fn delete(&mut self, api: usize) {
        if self.acknowledged.in_use.is_empty() {
            return;
        }
        let place = self.place();
        if self.acknowledged.places[&place] == [None] {
            return;
        }
        let status = self.client.delete(api, &file_path(&place)).await;
        if status == Some(StatusCode::NOT_FOUND) {
            self.acknowledged
                .broken
                .push(format!("{place} does not exist when it is to be deleted"));
        }
        self.acknowledged
            .record_answer(&place, "deletions of media", None, status);
    }

    async fn read(&mut self, api: usize) {
        if self.acknowledged.in_use.is_empty() {
            return;
        }
        let place = self.place();
        if let Some(difference) = self.acknowledged.compare(&self.client, api, &place).await {
            self.acknowledged
                .broken
                .push(format!("during the run: {difference}"));
        }
        self.acknowledged.tally.add("reads");
    }

    async fn create_job(&mut self, api: usize) {
        let key = format!("job-{}", self.acknowledged.jobs.len());
        let priority = self.random.random_range(-20..20);
        let document = import(
            &json!({ "url": self.url, "resource": self.name, "key": key }),
            json!({ "scheduled_at": FAR_FUTURE, "priority": priority }),
        );
        let id = id_of(self.client.post(api, "/jobs", &document).await);
        self.acknowledged.count("new jobs", id.is_some());
        self.acknowledged.jobs.extend(id.map(|id| AcknowledgedJob {
            id,
            priority,
            status: "scheduled",
            is_deleted: false,
            is_open: false,
        }));
    }

    async fn change_job(&mut self, api: usize) {
        let priority = self.random.random_range(-20..20);
        let signal = ["pause", "resume", "cancel", "priority"][self.random.random_range(0..4)];
        let Some(index) = self.job() else { return };
        let job = &mut self.acknowledged.jobs[index];
        let (from, to) = match signal {
            "pause" => ("scheduled", "paused"),
            "resume" => ("paused", "scheduled"),
            "cancel" => ("scheduled", "cancelled"),
            _ => ("scheduled", "scheduled"),
        };
        if job.status != from {
            return;
        }
        let status = if signal == "priority" {
            let path = format!("/jobs/{}", job.id);
            let document = priority_document(&job.id, priority);
            let answer = self
                .client
                .send(api, Method::PATCH, &path, Some(&document))
                .await;
            answer.map(|(status, _)| status)
        } else {
            self.client.signal(api, &job.id, signal).await
        };
        let is_acknowledged = status.is_some_and(|status| status.is_success());
        if is_acknowledged {
            job.status = to;
            if signal == "priority" {
                job.priority = priority;
            }
        } else {
            job.is_open = true;
        }
        if matches!(status, Some(StatusCode::NOT_FOUND | StatusCode::CONFLICT)) {
            let refused = format!("the {from} job {} refuses {signal}: {status:?}", job.id);
            self.acknowledged.broken.push(refused);
        }
        self.acknowledged.count("changes of jobs", is_acknowledged);
    }

    async fn delete_job(&mut self, api: usize) {
        let Some(index) = self.job() else { return };
        let job = &mut self.acknowledged.jobs[index];
        let status = self.client.delete(api, &format!("/jobs/{}", job.id)).await;
        let is_acknowledged = status.is_some_and(|status| status.is_success());
        job.is_deleted = is_acknowledged;
        job.is_open = !is_acknowledged;
        if status == Some(StatusCode::NOT_FOUND) {
            let lost = format!("the job {} does not exist when it is to be deleted", job.id);
            self.acknowledged.broken.push(lost);
        }
        self.acknowledged
            .count("deletions of jobs", is_acknowledged);
    }

    fn place(&mut self) -> String {
        let index = self.random.random_range(0..self.acknowledged.in_use.len());
        self.acknowledged.in_use[index].clone()
    }

    /// Chooses a job that exists and can be changed.
    fn job(&mut self) -> Option<usize> {
        if self.acknowledged.jobs.is_empty() {
            return None;
        }
        let index = self.random.random_range(0..self.acknowledged.jobs.len());
        let job = &self.acknowledged.jobs[index];
        (!job.is_deleted && !job.is_open).then_some(index)
    }
}

impl Acknowledged {
    fn count(&mut self, kind: &str, is_acknowledged: bool) {
        self.tally.add(kind);
        if !is_acknowledged {
            self.tally.add("not acknowledged");
        }
    }

    /// Records the answer to an operation that gives a media this content.
    fn record_answer(
        &mut self,
        place: &str,
        kind: &str,
        content: Option<Vec<u8>>,
        status: Option<StatusCode>,
    ) {
        let is_acknowledged = status.is_some_and(|status| status.is_success());
        let candidates = self.places.get_mut(place).unwrap();
        if is_acknowledged {
            candidates.clear();
        } else {
            self.in_use.retain(|other| other != place);
        }
        candidates.push(content);
        self.count(kind, is_acknowledged);
    }

    /// Describes how a media differs from all possible states, if the service answers.
    async fn compare(&self, client: &Client, api: usize, place: &str) -> Option<String> {
        let (status, bytes) = client.download(api, place).await?;
        let found = match status {
            StatusCode::OK => Some(bytes),
            StatusCode::NOT_FOUND => None,
            _ => return None,
        };
        let candidates = &self.places[place];
        if candidates.contains(&found) {
            return None;
        }
        let size = |content: &Option<Vec<u8>>| content.as_ref().map(Vec::len);
        let expected: Vec<_> = candidates.iter().map(size).collect();
        Some(format!(
            "{place} holds {:?} bytes, but {expected:?} were acknowledged",
            size(&found)
        ))
    }

    /// Reads everything back that was acknowledged, and returns the differences.
    pub(crate) async fn check(&self, client: &Client) -> Vec<String> {
        let mut broken = self.broken.clone();
        for place in self.places.keys() {
            match client.download(0, place).await {
                Some((StatusCode::OK | StatusCode::NOT_FOUND, _)) => {
                    broken.extend(self.compare(client, 1, place).await);
                }
                other => {
                    let status = other.map(|(status, _)| status);
                    broken.push(format!("{place} cannot be read: {status:?}"));
                }
            }
        }
        for job in self.jobs.iter().filter(|job| !job.is_open) {
            let path = format!("/jobs/{}", job.id);
            let answer = client.send(0, Method::GET, &path, None).await;
            broken.extend(job.compare(answer));
        }
        broken
    }

    /// Returns the number of media and jobs whose state is certain.
    pub(crate) fn certain(&self) -> usize {
        let places = self
            .places
            .values()
            .filter(|acknowledged| acknowledged.len() == 1);
        places.count() + self.jobs.iter().filter(|job| !job.is_open).count()
    }
}

impl AcknowledgedJob {
    fn compare(&self, answer: Option<(StatusCode, Value)>) -> Option<String> {
        let Some((status, document)) = answer else {
            return Some(format!("the job {} cannot be read", self.id));
        };
        let attributes = &document["data"]["attributes"];
        let holds = if self.is_deleted {
            status == StatusCode::NOT_FOUND
        } else {
            status == StatusCode::OK
                && attributes["status"] == self.status
                && attributes["priority"] == self.priority
        };
        let (id, expected, priority) = (&self.id, self.status, self.priority);
        let deleted = if self.is_deleted { ", deleted" } else { "" };
        (!holds).then(|| {
            format!(
                "the job {id} is answered {status} {attributes}, acknowledged was {expected} with \
                 priority {priority}{deleted}"
            )
        })
    }
}
