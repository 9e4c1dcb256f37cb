//! How clients reach the service: with a token of one project, at any of its addresses.

use std::{fmt::Write as _, time::Duration};

use chrono::Utc;
use media_testkit::{
    http_client,
    service::{change_document, signal_document},
    tokens::{SECRET, claims_with, secret_token},
};
use reqwest::{Client as Http, Method, RequestBuilder, StatusCode};
use serde_json::{Value, json};

/// The project that everything belongs to.
const PROJECT: &str = "press";
/// The most that the project may store: more than a run does. Bytes are counted while they come.
const PROJECT_MAX_BYTES: &str = "500GiB";
/// How long the service has for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Between the parts of an upload.
const BOUNDARY: &str = "boundary-of-the-fault-run";
/// The media type of documents.
const JSON_API: &str = "application/vnd.api+json";

/// The variables of a service whose clients these are.
pub(crate) fn variables() -> [(&'static str, &'static str); 4] {
    [
        ("MEDIA_JWT_SECRET", SECRET),
        ("MEDIA_PROJECT_MAX_BYTES", PROJECT_MAX_BYTES),
        ("MEDIA_PROJECT_MAX_JOBS", "off"),
        ("MEDIA_RATE_LIMIT", "off"),
    ]
}

/// A token for the metrics.
pub(crate) fn admin_token() -> String {
    token("operator", json!({ "role": "admin" }))
}

fn token(subject: &str, more: Value) -> String {
    secret_token(SECRET, &claims_with(subject, more))
}

/// Sends requests. An answer that does not come, or not whole, is none.
#[derive(Clone)]
pub(crate) struct Client {
    http: Http,
    addresses: Vec<String>,
    token: String,
}

impl Client {
    /// A client of the service at these addresses.
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

    /// Where the service is.
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

    /// Posts a document.
    pub(crate) async fn post(
        &self,
        api: usize,
        path: &str,
        document: &Value,
    ) -> Option<(StatusCode, Value)> {
        self.send(api, Method::POST, path, Some(document)).await
    }

    /// Signals a job.
    pub(crate) async fn signal(&self, api: usize, job: &str, signal: &str) -> Option<StatusCode> {
        let path = format!("/jobs/{job}/signal");
        let answer = self.post(api, &path, &signal_document(signal)).await;
        answer.map(|(status, _)| status)
    }

    /// Lets a job start at once that waits for its time.
    pub(crate) async fn start_now(&self, job: &str) {
        let document = change_document(job, &json!({ "scheduled_at": Utc::now() }));
        let path = format!("/jobs/{job}");
        // It may have started meanwhile, which is as well.
        let _ = self.send(0, Method::PATCH, &path, Some(&document)).await;
    }

    /// Deletes what is at a path.
    pub(crate) async fn delete(&self, api: usize, path: &str) -> Option<StatusCode> {
        let request = self.request(api, Method::DELETE, path);
        Some(request.send().await.ok()?.status())
    }

    /// Stores bytes at a place.
    pub(crate) async fn upload(&self, api: usize, place: &str, bytes: &[u8]) -> Option<StatusCode> {
        let request = self.request(api, Method::POST, &file_path(place));
        let request = request
            .header("Content-Type", form_type())
            .body(form(bytes));
        Some(request.send().await.ok()?.status())
    }

    /// The bytes at a place; only a whole answer counts.
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

    /// A request as it goes over the wire.
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

/// The path of the file at a place.
pub(crate) fn file_path(place: &str) -> String {
    format!("/medias/files/{place}")
}

/// Returns a document that changes the priority of a job.
pub(crate) fn priority_document(job: &str, priority: i64) -> Value {
    change_document(job, &json!({ "priority": priority }))
}

/// The id of a job that was created.
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
