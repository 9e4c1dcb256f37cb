//! A client of the service's API, for a service in this process or at a URL.

use std::{sync::Arc, time::Duration};

use reqwest::{Client, Method, RequestBuilder, Response, StatusCode, header::RETRY_AFTER};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::{Instant, sleep};
use url::Url;

mod documents;
mod error;
mod events;
mod jobs;
mod lists;
mod media;

pub(crate) use documents::{Job, JobAttributes, Resource, names};
pub(crate) use error::ClientError;
pub(crate) use events::JobEvent;
pub(crate) use jobs::{JobSnapshot, NewImport};
pub(crate) use lists::ListQuery;
pub(crate) use media::Upload;

/// Timeout of a request whose answer is a document.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Timeout of a connection attempt.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Timeout of a probe.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);
/// Longest silence within a download or an event stream; the service sends a comment every 15 seconds.
const MAX_SILENCE: Duration = Duration::from_secs(45);
/// Longest time for which a request is repeated because the service is busy (429).
const MAX_BUSY_TIME: Duration = Duration::from_mins(2);
/// Interval between two requests to a busy service that gives none.
const DEFAULT_RETRY_AFTER: Duration = Duration::from_secs(1);

/// A client of one service.
#[derive(Clone)]
pub(crate) struct ApiClient {
    http: Client,
    base: Url,
    token: Option<String>,
    /// The name of the service in errors.
    name: Arc<str>,
}

#[derive(Deserialize)]
struct Document<T> {
    data: T,
}

impl ApiClient {
    /// Creates a client of the service at a URL, which sends a token with every request if there is one.
    pub(crate) fn new(base: Url, token: Option<String>) -> anyhow::Result<Self> {
        let http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .no_proxy()
            .tls_backend_preconfigured(media_tls::client_config()?)
            .build()?;
        let name = format!("the service at {}", base.as_str().trim_end_matches('/'));
        let name = name.into();
        Ok(Self {
            http,
            base,
            token,
            name,
        })
    }

    /// Names the service in errors as one whose URL means nothing to the user.
    pub(crate) fn in_this_process(self) -> Self {
        let name = "the service in this process".into();
        Self { name, ..self }
    }

    /// The URL of the service.
    pub(crate) fn url(&self) -> &Url {
        &self.base
    }

    /// Whether the service answers.
    pub(crate) async fn is_alive(&self) -> bool {
        let Ok(url) = self.at(&["livez"]) else {
            return false;
        };
        let answer = self.http.get(url).timeout(PROBE_TIMEOUT).send().await;
        answer.is_ok_and(|answer| answer.status().is_success())
    }

    /// Starts a request to a path, given by its segments.
    fn request(&self, method: Method, segments: &[&str]) -> Result<RequestBuilder, ClientError> {
        let request = self.http.request(method, self.at(segments)?);
        Ok(match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        })
    }

    /// Sends a request and reads the document in the answer.
    async fn document<T: for<'de> Deserialize<'de>>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, ClientError> {
        let response = self.send(request.timeout(REQUEST_TIMEOUT)).await?;
        let status = response.status();
        let body = response.bytes().await;
        let body = body.map_err(|error| ClientError::unreachable(&self.name, &error))?;
        serde_json::from_slice(&body).map_err(|_| ClientError::not_the_service(&self.name, status))
    }

    /// Sends a request. Repeats it while the service is busy, unless its body is a stream. An answer that reports
    /// an error becomes an error.
    async fn send(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let deadline = Instant::now() + MAX_BUSY_TIME;
        let mut request = request;
        loop {
            let again = request.try_clone();
            let sent = request.send().await;
            let response = sent.map_err(|error| ClientError::unreachable(&self.name, &error))?;
            let status = response.status();
            if status.is_success() {
                return Ok(response);
            }
            let delay = retry_after(&response);
            match again {
                Some(again)
                    if status == StatusCode::TOO_MANY_REQUESTS
                        && delay < deadline.saturating_duration_since(Instant::now()) =>
                {
                    sleep(delay).await;
                    request = again;
                }
                _ => return Err(self.error(response).await),
            }
        }
    }

    /// Converts an answer that reports an error.
    async fn error(&self, response: Response) -> ClientError {
        let status = response.status();
        match response.json::<Value>().await {
            Ok(document) if document["errors"].is_array() => {
                ClientError::refused(&self.name, status, &document, self.token.is_some())
            }
            _ => ClientError::not_the_service(&self.name, status),
        }
    }

    fn at(&self, segments: &[&str]) -> Result<Url, ClientError> {
        let mut url = self.base.clone();
        match url.path_segments_mut() {
            Ok(mut path) => path.pop_if_empty().extend(segments),
            Err(()) => return Err(ClientError::unusable_url(&self.name)),
        };
        Ok(url)
    }
}

/// The delay that a busy service asks for, in whole seconds.
fn retry_after(response: &Response) -> Duration {
    let header = response.headers().get(RETRY_AFTER);
    let seconds = header.and_then(|value| value.to_str().ok()?.parse().ok());
    seconds.map_or(DEFAULT_RETRY_AFTER, Duration::from_secs)
}
