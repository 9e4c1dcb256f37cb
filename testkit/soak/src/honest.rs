//! Honest projects, whose uploads, downloads, lists and imports are measured.

use std::{net::IpAddr, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use media_testkit::{
    bytes::pattern, http_client_builder, nginx::Nginx, service::import, tokens::project_token,
};
use reqwest::{Client, RequestBuilder, StatusCode, multipart};
use serde_json::{Value, json};
use tokio::{
    task::JoinHandle,
    time::{Instant, sleep},
};
use tokio_util::sync::CancellationToken;

use crate::callers::Target;

/// The size of each file in bytes.
const FILE_SIZE: usize = 20_000;
/// The pause between two rounds of requests.
const ROUND_PAUSE: Duration = Duration::from_millis(250);
/// The longest time until a response.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// The longest time until an import has ended.
const IMPORT_LIMIT: Duration = Duration::from_mins(1);

/// The measurements of one project.
#[derive(Clone, Debug, Default)]
pub(crate) struct Measured {
    pub(crate) project: String,
    pub(crate) latencies: Vec<Duration>,
    /// The time of each import from its creation to its start.
    pub(crate) waits: Vec<Duration>,
    pub(crate) failures: Vec<String>,
}

/// A running honest project.
pub(crate) struct Honest(JoinHandle<Measured>);

impl Honest {
    /// Starts a project with an address of its own.
    pub(crate) fn start(
        target: &Target,
        origin: &Nginx,
        project: &str,
        number: usize,
        over: &CancellationToken,
    ) -> Self {
        let bytes = pattern(FILE_SIZE);
        let name = format!("{project}.bin");
        origin.add(&name, &bytes);
        let address = IpAddr::from([127, 0, 2, 1 + u8::try_from(number).unwrap()]);
        let project = Project {
            target: target.clone(),
            // Every request opens a connection, so that the service must accept new ones.
            http: http_client_builder()
                .local_address(address)
                .pool_max_idle_per_host(0)
                .timeout(ANSWER_LIMIT)
                .build()
                .unwrap(),
            token: project_token(project, project),
            origin: origin.url(&name),
            bytes: Arc::new(bytes),
            measured: Measured {
                project: project.to_owned(),
                ..Measured::default()
            },
        };
        Self(tokio::spawn(project.work(over.clone())))
    }

    /// Waits until it has ended.
    pub(crate) async fn finish(self) -> Measured {
        self.0.await.unwrap()
    }
}

struct Project {
    target: Target,
    http: Client,
    token: String,
    origin: String,
    bytes: Arc<Vec<u8>>,
    measured: Measured,
}

impl Project {
    async fn work(mut self, over: CancellationToken) -> Measured {
        let mut round = 0;
        let mut jobs = Vec::new();
        while !over.is_cancelled() {
            round += 1;
            self.upload(round).await;
            self.download(round).await;
            self.list().await;
            jobs.extend(self.import(round).await);
            sleep(ROUND_PAUSE).await;
        }
        for job in jobs {
            self.check_import(&job).await;
        }
        self.measured
    }

    async fn upload(&mut self, round: usize) {
        let part = multipart::Part::bytes(self.bytes.to_vec()).file_name("file.bin");
        let form = multipart::Form::new().part("media", part);
        let url = self.target.url(&format!("/medias/files/up/{}", round % 50));
        let request = self.http.post(url).multipart(form);
        self.send("upload", request).await;
    }

    async fn download(&mut self, round: usize) {
        let url = self.target.url(&format!("/medias/files/up/{}", round % 50));
        let request = self.http.get(url);
        let bytes = self.send("download", request).await;
        if bytes.is_some_and(|bytes| bytes != *self.bytes) {
            self.measured.failures.push("download: other bytes".into());
        }
    }

    async fn list(&mut self) {
        let request = self.http.get(self.target.url("/medias?page[size]=20"));
        self.send("list", request).await;
    }

    async fn import(&mut self, round: usize) -> Option<String> {
        let arguments = json!({
            "url": self.origin, "resource": "in", "key": round.to_string(), "size": FILE_SIZE,
        });
        let document = import(&arguments, json!({}));
        let request = self.http.post(self.target.url("/jobs")).json(&document);
        let answer = self.send("import", request).await?;
        let document: Value = serde_json::from_slice(&answer).ok()?;
        document["data"]["id"].as_str().map(str::to_owned)
    }

    /// Waits until an import has succeeded, and records the time until its start.
    async fn check_import(&mut self, id: &str) {
        let end = Instant::now() + IMPORT_LIMIT;
        loop {
            let request = self.http.get(self.target.url(&format!("/jobs/{id}")));
            let answer = request.bearer_auth(&self.token).send().await;
            let document: Value = match answer {
                Ok(answer) => answer.json().await.unwrap_or_default(),
                Err(_) => Value::Null,
            };
            let job = &document["data"]["attributes"];
            match job["status"].as_str() {
                Some("succeeded") => {
                    let time = |name: &str| -> DateTime<Utc> {
                        job[name].as_str().unwrap().parse().unwrap()
                    };
                    let wait = time("started_at") - time("created_at");
                    self.measured.waits.push(wait.to_std().unwrap_or_default());
                    return;
                }
                Some("failed" | "cancelled") => {
                    let failure = format!("import {id}: {} {}", job["error"], job["error_detail"]);
                    self.measured.failures.push(failure);
                    return;
                }
                _ if Instant::now() > end => {
                    let failure = format!("import {id}: still {}", job["status"]);
                    self.measured.failures.push(failure);
                    return;
                }
                _ => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    /// Sends a request and measures the time until the response was read.
    async fn send(&mut self, what: &str, request: RequestBuilder) -> Option<Vec<u8>> {
        let started = Instant::now();
        let answer = async {
            let answer = request.bearer_auth(&self.token).send().await?;
            let status = answer.status();
            Ok::<_, reqwest::Error>((status, answer.bytes().await?))
        };
        let answer = answer.await;
        self.measured.latencies.push(started.elapsed());
        match answer {
            Ok((StatusCode::OK | StatusCode::CREATED | StatusCode::NO_CONTENT, bytes)) => {
                Some(bytes.into())
            }
            Ok((status, bytes)) => {
                let text = String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
                self.measured
                    .failures
                    .push(format!("{what}: {status} {text}"));
                None
            }
            Err(error) => {
                self.measured.failures.push(format!("{what}: {error:?}"));
                None
            }
        }
    }
}
