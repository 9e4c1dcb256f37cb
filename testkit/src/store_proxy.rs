//! A proxy in front of SeaweedFS that imitates the deviations of other object stores from S3.

use std::{
    collections::HashMap,
    convert::Infallible,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use aws_sdk_s3::types::{CompletedMultipartUpload, CompletedPart};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, EXPECT, TRANSFER_ENCODING},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::{
    net::TcpListener,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::{
    http_client,
    seaweed::{BUCKET, Seaweed},
};

/// The prefix of entity tags that are no MD5.
const OPAQUE_TAG_PREFIX: &str = "opaque-";
/// The time from a write to the disconnect by a store that closes idle connections.
const IDLE_TIMEOUT: Duration = Duration::from_millis(30);

/// A deviation from S3.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quirk {
    /// Refuses newer checksum headers with this status and code: 400 `InvalidArgument` (Backblaze B2), 501
    /// `NotImplemented` (older Cloudflare R2).
    NoChecksums(u16, &'static str),
    /// Does not implement `ListMultipartUploads`.
    NoListMultipartUploads,
    /// Does not implement `ListParts`.
    NoListParts,
    /// Returns entity tags that are no MD5 (encrypted buckets, erasure-coded stores).
    OpaqueTags,
    /// Requires one size for all parts of an object except the last (Cloudflare R2).
    PartsOfOneSize,
    /// Answers every third request with `SlowDown`.
    SlowDown,
    /// Closes connections as soon as they are idle.
    ClosesIdleConnections,
}

pub struct StoreProxy {
    address: SocketAddr,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

struct State {
    quirk: Quirk,
    target: String,
    http: reqwest::Client,
    requests: AtomicUsize,
    refused: AtomicUsize,
    /// The sizes of the parts of each upload, by upload id and part number.
    parts: Mutex<HashMap<String, HashMap<u32, usize>>>,
}

impl StoreProxy {
    /// Starts a proxy in front of the server at an endpoint.
    pub async fn start(endpoint: &str, quirk: Quirk) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            quirk,
            target: endpoint.to_owned(),
            http: http_client(),
            requests: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
            parts: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self {
            address,
            state,
            accepting,
        }
    }

    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the number of refused requests.
    pub fn refused(&self) -> usize {
        self.state.refused.load(Ordering::Relaxed)
    }
}

impl Drop for StoreProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        let state = Arc::clone(&state);
        connections.spawn(async move {
            let answered = Arc::new(tokio::sync::Notify::new());
            let told = Arc::clone(&answered);
            let closes = state.quirk == Quirk::ClosesIdleConnections;
            let answer = service_fn(move |request| {
                let (state, told) = (Arc::clone(&state), Arc::clone(&told));
                async move {
                    // A caller continues an interrupted read by itself; requests that write are repeated.
                    let is_read = request.method() == Method::GET;
                    let answer = state.answer(request).await;
                    if !is_read {
                        told.notify_one();
                    }
                    Ok::<_, Infallible>(answer)
                }
            });
            let serve = http1::Builder::new().serve_connection(TokioIo::new(stream), answer);
            let idle = async {
                if !closes {
                    std::future::pending::<()>().await;
                }
                answered.notified().await;
                sleep(IDLE_TIMEOUT).await;
            };
            tokio::select! {
                _ = serve => {}
                () = idle => {}
            }
        });
    }
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let number = self.requests.fetch_add(1, Ordering::Relaxed);
        let (head, body) = request.into_parts();
        let Ok(body) = body.collect().await else {
            return error(400, "IncompleteBody");
        };
        let body = body.to_bytes();
        let query = head.uri.query().unwrap_or_default().to_owned();
        if let Some(refusal) = self.refuse(&head, &query, number, body.len()) {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return refusal;
        }
        if self.quirk == Quirk::OpaqueTags
            && head.method == Method::POST
            && let Some(upload) = parameter(&query, "uploadId")
        {
            return self.complete(head.uri.path(), &upload, &body).await;
        }
        let mut headers = head.headers;
        for name in [TRANSFER_ENCODING, EXPECT] {
            headers.remove(name);
        }
        let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
        // The header Host of the proxy is forwarded, because it is part of the signature.
        let forward = self
            .http
            .request(head.method.clone(), format!("{}{path}", self.target))
            .headers(headers)
            .body(body);
        match forward.send().await {
            Ok(answer) => self.pass_on(answer, head.method == Method::HEAD).await,
            Err(_) => error(502, "BadGateway"),
        }
    }

    fn refuse(
        &self,
        head: &hyper::http::request::Parts,
        query: &str,
        number: usize,
        size: usize,
    ) -> Option<Response<Full<Bytes>>> {
        let has_checksum = head.headers.keys().any(|name| {
            let name = name.as_str();
            name.starts_with("x-amz-checksum-") && name != "x-amz-checksum-mode"
                || name == "x-amz-trailer"
        });
        let upload = parameter(query, "uploadId");
        match self.quirk {
            Quirk::NoChecksums(status, code) if has_checksum => Some(error(status, code)),
            Quirk::NoListMultipartUploads
                if head.method == Method::GET
                    && query.split('&').any(|key| key.starts_with("uploads")) =>
            {
                Some(error(501, "NotImplemented"))
            }
            Quirk::NoListParts if head.method == Method::GET && upload.is_some() => {
                Some(error(501, "NotImplemented"))
            }
            Quirk::SlowDown if number % 3 == 1 => Some(error(503, "SlowDown")),
            Quirk::PartsOfOneSize => {
                let upload = upload?;
                let mut parts = self.parts.lock().unwrap();
                let parts = parts.entry(upload).or_default();
                if let (&Method::PUT, Some(part)) = (&head.method, parameter(query, "partNumber")) {
                    parts.insert(part.parse().unwrap(), size);
                    return None;
                }
                let last = parts.keys().max().copied();
                let mut others = parts.iter().filter(|(part, _)| Some(**part) != last);
                let first = others.next().map(|(_, size)| *size);
                let is_uneven = others.any(|(_, size)| Some(*size) != first);
                (head.method == Method::POST && is_uneven).then(|| error(400, "InvalidPart"))
            }
            _ => None,
        }
    }

    /// Completes an upload whose parts the client knows by opaque tags. The proxy signs this request itself,
    /// because the signature of the client covers its body.
    async fn complete(&self, path: &str, upload: &str, body: &Bytes) -> Response<Full<Bytes>> {
        let text = String::from_utf8_lossy(body);
        let between = |text: &str, name: &str| {
            let (_, rest) = text.split_once(&format!("<{name}>"))?;
            let (value, _) = rest.split_once(&format!("</{name}>"))?;
            Some(value.to_owned())
        };
        let parts = text.split("<Part>").skip(1).map(|part| {
            let tag = between(part, "ETag").unwrap_or_default();
            let tag: String = tag.replace("&quot;", "").replace('"', "");
            CompletedPart::builder()
                .e_tag(tag.strip_prefix(OPAQUE_TAG_PREFIX).expect("an opaque tag"))
                .set_checksum_crc32(between(part, "ChecksumCRC32"))
                .set_part_number(between(part, "PartNumber").and_then(|text| text.parse().ok()))
                .build()
        });
        let (_, key) = path.trim_start_matches('/').split_once('/').unwrap();
        let completed = Seaweed::client_at(&self.target)
            .complete_multipart_upload()
            .bucket(BUCKET)
            .key(key)
            .upload_id(upload)
            .multipart_upload(
                CompletedMultipartUpload::builder()
                    .set_parts(Some(parts.collect()))
                    .build(),
            )
            .send()
            .await;
        match completed {
            Ok(_) => Response::new(Full::new(Bytes::from_static(
                b"<CompleteMultipartUploadResult></CompleteMultipartUploadResult>",
            ))),
            Err(_) => error(400, "InvalidPart"),
        }
    }

    async fn pass_on(&self, answer: reqwest::Response, is_head: bool) -> Response<Full<Bytes>> {
        let status = answer.status();
        let mut headers = answer.headers().clone();
        headers.remove(TRANSFER_ENCODING);
        let mut body = answer.bytes().await.unwrap_or_default();
        if self.quirk == Quirk::OpaqueTags {
            if let Some(tag) = headers.get(ETAG).and_then(|tag| tag.to_str().ok()) {
                let tag = format!("\"{OPAQUE_TAG_PREFIX}{}\"", tag.trim_matches('"'));
                headers.insert(ETAG, tag.parse().unwrap());
            }
            if headers
                .get(CONTENT_TYPE)
                .is_some_and(|kind| kind.as_bytes().ends_with(b"xml"))
            {
                for quote in ["&#34;", "&quot;", "\""] {
                    let (plain, opaque) = (
                        format!("<ETag>{quote}"),
                        format!("<ETag>{quote}{OPAQUE_TAG_PREFIX}"),
                    );
                    body = replaced(&body, &plain, &opaque);
                }
            }
        }
        if !is_head {
            headers.remove(CONTENT_LENGTH);
        }
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        *response.headers_mut() = headers;
        response
    }
}

fn parameter(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let found = pairs.find(|(key, _)| *key == name);
    found.map(|(_, value)| value.to_owned())
}

fn replaced(body: &Bytes, from: &str, to: &str) -> Bytes {
    match std::str::from_utf8(body) {
        Ok(text) => Bytes::from(text.replace(from, to)),
        Err(_) => body.clone(),
    }
}

fn error(status: u16, code: &str) -> Response<Full<Bytes>> {
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>refused by the proxy</Message></Error>"
    );
    Response::builder()
        .status(StatusCode::from_u16(status).unwrap())
        .header(CONTENT_TYPE, "application/xml")
        .body(Full::new(Bytes::from(body)))
        .unwrap()
}
