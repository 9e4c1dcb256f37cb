//! The HTTP client of the fault run: it has the token of one project and uses any address of the service.

use std::{fmt::Write as _, time::Duration};

use chrono::Utc;
use media_testkit::{
    http_client,
    service::{change_document, signal_document},
    tokens::{SECRET, claims_with, secret_token},
};
use reqwest::{Client as Http, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// The project of all jobs and media.
const PROJECT: &str = "press";
/// The quota of the project. It exceeds the bytes of a run, but makes the service count bytes in progress.
const PROJECT_MAX_BYTES: &str = "500GiB";
/// The longest time until a complete response.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
const BOUNDARY: &str = "boundary-of-the-fault-run";
const JSON_API: &str = "application/vnd.api+json";

/// Returns the configuration of the service that these clients need.
pub(crate) fn variables() -> [(&'static str, &'static str); 4] {
    [
        ("MEDIA_JWT_SECRET", SECRET),
        ("MEDIA_PROJECT_MAX_BYTES", PROJECT_MAX_BYTES),
        ("MEDIA_PROJECT_MAX_JOBS", "off"),
        ("MEDIA_RATE_LIMIT", "off"),
    ]
}

/// Returns a token that may read the metrics.
pub(crate) fn admin_token() -> String {
    token("operator", json!({ "role": "admin" }))
}

fn token(subject: &str, more: Value) -> String {
    secret_token(SECRET, &claims_with(subject, more))
}

/// A client. Every method returns `None` if no complete response arrives.
#[derive(Clone)]
pub(crate) struct Client {
    http: Http,
    addresses: Vec<String>,
    token: String,
}

impl Client {
    pub(crate) fn new(addresses: &[String]) -> Self {
        Self {
            http: http_client(),
            addresses: addresses.to_vec(),
            token: token(
                "importer",
                json!({ "role": "service", "project_id": PROJECT }),
            ),
        }
    }

    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Sends a request with a document.
    pub(crate) async fn send(
        &self,
        api: usize,
        method: Method,
        path: &str,
        document: Option<&Value>,
    ) -> Option<(StatusCode, Value)> {
        let mut request = self.request(api, method, path);
        if let Some(document) = document {
            request = request.header("Content-Type", JSON_API);
            request = request.body(document.to_string());
        }
        let answer = request.send().await.ok()?;
        let status = answer.status();
        let body = answer.bytes().await.ok()?;
        if body.is_empty() {
            return Some((status, Value::Null));
        }
        Some((status, serde_json::from_slice(&body).ok()?))
    }

    pub(crate) async fn post(
        &self,
        api: usize,
        path: &str,
        document: &Value,
    ) -> Option<(StatusCode, Value)> {
        self.send(api, Method::POST, path, Some(document)).await
    }

    pub(crate) async fn signal(&self, api: usize, job: &str, signal: &str) -> Option<StatusCode> {
        let path = format!("/jobs/{job}/signal");
        let answer = self.post(api, &path, &signal_document(signal)).await;
        answer.map(|(status, _)| status)
    }

    /// Makes a scheduled job due now.
    pub(crate) async fn start_now(&self, job: &str) {
        let document = change_document(job, &json!({ "scheduled_at": Utc::now() }));
        let path = format!("/jobs/{job}");
        // The job may have started in the meantime.
        let _ = self.send(0, Method::PATCH, &path, Some(&document)).await;
    }

    pub(crate) async fn delete(&self, api: usize, path: &str) -> Option<StatusCode> {
        let request = self.request(api, Method::DELETE, path);
        Some(request.send().await.ok()?.status())
    }

    /// Uploads bytes to the path of a media.
    pub(crate) async fn upload(&self, api: usize, place: &str, bytes: &[u8]) -> Option<StatusCode> {
        let request = self.request(api, Method::POST, &file_path(place));
        let request = request
            .header("Content-Type", form_type())
            .body(form(bytes));
        Some(request.send().await.ok()?.status())
    }

    /// Downloads the bytes of a media; an incomplete response counts as none.
    pub(crate) async fn download(&self, api: usize, place: &str) -> Option<(StatusCode, Vec<u8>)> {
        let request = self.request(api, Method::GET, &file_path(place));
        let answer = request.send().await.ok()?;
        let status = answer.status();
        Some((status, answer.bytes().await.ok()?.into()))
    }

    fn request(&self, api: usize, method: Method, path: &str) -> RequestBuilder {
        let address = &self.addresses[api % self.addresses.len()];
        let request = self.http.request(method, format!("http://{address}{path}"));
        request.timeout(ANSWER_LIMIT).bearer_auth(&self.token)
    }

    /// Returns the bytes of a request, head and body.
    pub(crate) fn wire(&self, api: usize, method: &str, path: &str, body: &Body) -> Vec<u8> {
        let address = &self.addresses[api % self.addresses.len()];
        let mut head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\n");
        let _ = write!(head, "Authorization: Bearer {}\r\n", self.token);
        let (media_type, bytes) = match body {
            Body::None => (None, Vec::new()),
            Body::Document(document) => {
                (Some(JSON_API.to_owned()), document.to_string().into_bytes())
            }
            Body::File(bytes) => (Some(form_type()), form(bytes)),
        };
        if let Some(media_type) = media_type {
            let length = bytes.len();
            let _ = write!(
                head,
                "Content-Type: {media_type}\r\nContent-Length: {length}\r\n"
            );
        }
        head.push_str("\r\n");
        let mut wire = head.into_bytes();
        wire.extend(bytes);
        wire
    }
}

/// The body of a request.
pub(crate) enum Body {
    None,
    Document(Value),
    File(Vec<u8>),
}

/// Returns the URL path of a media's file.
pub(crate) fn file_path(place: &str) -> String {
    format!("/medias/files/{place}")
}

/// Returns a document that changes the priority of a job.
pub(crate) fn priority_document(job: &str, priority: i64) -> Value {
    change_document(job, &json!({ "priority": priority }))
}

/// Returns the id of a created job.
pub(crate) fn id_of(answer: Option<(StatusCode, Value)>) -> Option<String> {
    let (status, document) = answer?;
    let id = document["data"]["id"].as_str();
    id.filter(|_| status == StatusCode::CREATED)
        .map(str::to_owned)
}

fn form_type() -> String {
    format!("multipart/form-data; boundary={BOUNDARY}")
}

fn form(bytes: &[u8]) -> Vec<u8> {
    let head = format!(
        "--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"media\"; filename=\"file.bin\"\r\n\
         Content-Type: application/octet-stream\r\n\r\n"
    );
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    [head.as_bytes(), bytes, tail.as_bytes()].concat()
}
