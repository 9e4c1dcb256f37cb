//! A client of the service's API, for a service in this process or at a URL.

use std::time::Duration;

use anyhow::{Context as _, bail};
use media_worker::tls;
use reqwest::{Client, RequestBuilder, Response};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};
use url::Url;

/// The longest time for an answer.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest time for the answer to a probe, and the interval between probes.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest outage of the service while a job is followed.
const MAX_OUTAGE: Duration = Duration::from_secs(15);

/// A client of one service.
#[derive(Clone)]
pub(crate) struct ApiClient {
    http: Client,
    base: Url,
    token: Option<String>,
}

/// An import to request.
#[derive(Clone, Debug)]
pub(crate) struct NewImport {
    pub(crate) url: String,
    pub(crate) resource: String,
    pub(crate) key: String,
    pub(crate) public: bool,
    pub(crate) retries: i32,
}

/// The part of a job's document that an import needs.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Job {
    pub(crate) id: String,
    pub(crate) attributes: JobAttributes,
}

/// The attributes of a job that an import needs.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct JobAttributes {
    pub(crate) status: String,
    pub(crate) bytes_done: u64,
    pub(crate) bytes_total: Option<u64>,
    pub(crate) retry_count: u32,
    pub(crate) error: Option<String>,
    pub(crate) error_detail: Option<String>,
}

impl Job {
    /// Whether the job has ended.
    pub(crate) fn is_final(&self) -> bool {
        matches!(
            self.attributes.status.as_str(),
            "succeeded" | "failed" | "cancelled"
        )
    }

    /// Whether the job has succeeded.
    pub(crate) fn has_succeeded(&self) -> bool {
        self.attributes.status == "succeeded"
    }
}

#[derive(Deserialize)]
struct Document<T> {
    data: T,
}

impl ApiClient {
    /// Creates a client of the service at a URL.
    pub(crate) fn new(base: Url) -> anyhow::Result<Self> {
        let http = Client::builder()
            .timeout(REQUEST_TIMEOUT)
            .no_proxy()
            .tls_backend_preconfigured(tls::client_config()?)
            .build()?;
        Ok(Self {
            http,
            base,
            token: None,
        })
    }

    /// Sends a token with every request, if there is one.
    pub(crate) fn with_token(self, token: Option<String>) -> Self {
        Self { token, ..self }
    }

    fn authorized(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    /// Requests an import.
    pub(crate) async fn create_job(&self, import: &NewImport) -> anyhow::Result<Job> {
        let document = json!({
            "data": {
                "type": "media:jobs",
                "attributes": {
                    "job_class": "media:import",
                    "max_retries": import.retries,
                    "arguments": {
                        "url": import.url,
                        "resource": import.resource,
                        "key": import.key,
                        "public": import.public,
                    },
                },
            },
        });
        let request = self.http.post(self.at(&["jobs"])?).json(&document);
        let request = self.authorized(request);
        let answer: Document<Job> = read(request.send().await?).await?;
        Ok(answer.data)
    }

    /// Whether the service answers.
    pub(crate) async fn is_alive(&self) -> bool {
        let Ok(url) = self.at(&["livez"]) else {
            return false;
        };
        let answer = self.http.get(url).timeout(PROBE_TIMEOUT).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Looks up a job. Retries during an outage of at most [`MAX_OUTAGE`], which does not end the job.
    pub(crate) async fn job_with_retries(&self, id: &str) -> anyhow::Result<Job> {
        let deadline = Instant::now() + MAX_OUTAGE;
        loop {
            match self.job(id).await {
                Err(_) if Instant::now() < deadline && !self.is_alive().await => {
                    sleep(PROBE_TIMEOUT).await;
                }
                other => return other,
            }
        }
    }

    async fn job(&self, id: &str) -> anyhow::Result<Job> {
        let request = self.authorized(self.http.get(self.at(&["jobs", id])?));
        let answer: Document<Job> = read(request.send().await?).await?;
        Ok(answer.data)
    }

    /// Looks up the record of a media.
    pub(crate) async fn media(&self, resource: &str, key: &str) -> anyhow::Result<Value> {
        let url = self.at(&["medias", "info", resource, key])?;
        let request = self.authorized(self.http.get(url));
        let answer: Document<Value> = read(request.send().await?).await?;
        Ok(answer.data)
    }

    fn at(&self, segments: &[&str]) -> anyhow::Result<Url> {
        let mut url = self.base.clone();
        url.path_segments_mut()
            .ok()
            .context("the service's URL cannot be used")?
            .pop_if_empty()
            .extend(segments);
        Ok(url)
    }
}

/// Reads a document. Returns the details of an error document as an error.
async fn read<T: for<'de> Deserialize<'de>>(response: Response) -> anyhow::Result<T> {
    let status = response.status();
    let body: Value = response
        .json()
        .await
        .with_context(|| format!("the service answered {status} without a document"))?;
    if !status.is_success() {
        let details: Vec<&str> = body["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|error| error["detail"].as_str())
            .collect();
        bail!("{}", details.join("; "));
    }
    serde_json::from_value(body).context("the service answered an unexpected document")
}
