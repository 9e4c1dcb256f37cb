//! The client of the API in measurements.

use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use media_testkit::{
    cluster::Program,
    http_client,
    service::{Service, import},
};
use reqwest::Client;
use serde_json::{Value, json};

/// The interval of polls for unfinished jobs.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// The longest time until all jobs have ended.
const JOBS_LIMIT: Duration = Duration::from_mins(30);

pub(crate) struct Api {
    base: String,
    http: Client,
}

impl Api {
    /// Returns a client of the whole service in one process.
    pub(crate) fn of_service(service: &Service) -> Self {
        Self {
            base: service.url(""),
            http: http_client(),
        }
    }

    /// Returns a client of `media-api`.
    pub(crate) fn of_program(program: &Program) -> Self {
        Self {
            base: program.url(""),
            http: http_client(),
        }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Imports a URL once per key, with up to `at_once` concurrent posts, and waits until all jobs have
    /// succeeded.
    pub(crate) async fn import(&self, url: &str, keys: &[String], at_once: usize) {
        stream::iter(keys)
            .for_each_concurrent(at_once, |key| async move {
                let arguments = json!({ "url": url, "resource": "bench", "key": key });
                let document = import(&arguments, json!({}));
                let answer = self.http.post(self.url("/jobs")).json(&document).send();
                let answer = answer.await.unwrap();
                let status = answer.status();
                assert!(status.is_success(), "{status}: {:?}", answer.text().await);
                let _ = answer.bytes().await;
            })
            .await;
        let end = Instant::now() + JOBS_LIMIT;
        // One status per request, which an index answers; the order is that of a job's transitions.
        for status in ["scheduled", "pending", "running", "scheduled"] {
            while let Some(job) = self.any(status).await {
                assert!(Instant::now() < end, "not within {JOBS_LIMIT:?}: {job}");
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        }
        for status in ["failed", "cancelled", "paused", "pending", "running"] {
            let other = self.any(status).await;
            assert!(other.is_none(), "{other:?}");
        }
    }

    /// Returns a job with this status, if there is one.
    async fn any(&self, status: &str) -> Option<Value> {
        let query = format!("filter[status]={status}&page[size]=1");
        self.jobs(&query).await.pop()
    }

    /// Returns the newest jobs, at most 1000.
    pub(crate) async fn newest_jobs(&self, count: usize) -> Vec<Value> {
        self.jobs(&format!("sort=-id&page[size]={count}")).await
    }

    async fn jobs(&self, query: &str) -> Vec<Value> {
        let path = self.url(&format!("/jobs?{query}"));
        let answer = self.http.get(path).send().await.unwrap();
        let mut document: Value = answer.json().await.unwrap();
        match document["data"].take() {
            Value::Array(jobs) => jobs,
            _ => panic!("{query}: {document}"),
        }
    }

    /// Deletes the media with these keys.
    pub(crate) async fn delete(&self, keys: &[String]) {
        for key in keys {
            let path = self.url(&format!("/medias/files/bench/{key}"));
            let answer = self.http.delete(path).send().await.unwrap();
            assert!(answer.status().is_success(), "{answer:?}");
        }
    }
}
