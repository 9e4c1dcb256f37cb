//! Limits against clients that use up a service, and service for the other clients.

use std::{net::SocketAddr, time::Duration};

use media_testkit::{
    service::{FAR_FUTURE, Installation, Service},
    tokens::project_token,
    wait_until,
};
use reqwest::{RequestBuilder, Response, StatusCode};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

use crate::fixture::{error_code, with_authentication};

mod connections;

/// The longest time until a response of a service under attack.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
const UPLOAD_START: &str =
    "--b\r\nContent-Disposition: form-data; name=\"media\"; filename=\"f\"\r\n\r\nbytes";

fn with_limits(limits: &[(&str, &str)]) -> Installation {
    limits
        .iter()
        .fold(with_authentication(), |i, (name, value)| {
            i.with(name, value)
        })
}

async fn send(request: RequestBuilder, subject: &str) -> Response {
    let answer = request.bearer_auth(project_token(subject, subject)).send();
    timeout(ANSWER_LIMIT, answer).await.unwrap().unwrap()
}

async fn connect(service: &Service) -> TcpStream {
    let address: SocketAddr = service.url("").replace("http://", "").parse().unwrap();
    TcpStream::connect(address).await.unwrap()
}

/// Sends the head of an upload and only this part of its body.
async fn begin_upload(service: &Service, subject: &str, body: &str) -> TcpStream {
    let mut stream = connect(service).await;
    let head = format!(
        "POST /medias/files/r/{subject} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n{body}",
        project_token(subject, subject)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}

/// Waits until this number of uploads is in progress.
async fn uploads_begun(installation: &Installation, count: usize) {
    installation.wait_for_stored_files(count).await;
}

async fn enter_job(service: &Service, subject: &str, arguments: &Value) -> String {
    let later = json!({ "scheduled_at": FAR_FUTURE });
    let document = media_testkit::service::import(arguments, later);
    let answer = send(
        service.http.post(service.url("/jobs")).json(&document),
        subject,
    )
    .await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let document: Value = answer.json().await.unwrap();
    document["data"]["id"].as_str().unwrap().to_owned()
}

async fn listen(service: &Service, subject: &str, job: &str) -> Response {
    send(
        service
            .http
            .get(service.url(&format!("/jobs/{job}/events"))),
        subject,
    )
    .await
}

#[tokio::test]
async fn event_streams_are_limited_per_caller() {
    let installation = with_limits(&[("MEDIA_MAX_STREAMS_PER_CALLER", "2")]);
    let service = installation.serve().await;
    let arguments = json!({ "url": "http://origin.test/", "resource": "r" });
    let [ann, bob] = [
        enter_job(&service, "ann", &arguments).await,
        enter_job(&service, "bob", &arguments).await,
    ];
    let mut streams = Vec::new();
    for _ in 0..2 {
        let stream = listen(&service, "ann", &ann).await;
        assert_eq!(stream.status(), StatusCode::OK);
        streams.push(stream);
    }
    let refused = listen(&service, "ann", &ann).await;
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(error_code(refused).await, "too_many_at_once");
    assert_eq!(listen(&service, "bob", &bob).await.status(), StatusCode::OK);
    drop(streams);
    wait_until(
        "a stream ends with its listener",
        ANSWER_LIMIT,
        async || (listen(&service, "ann", &ann).await.status() == StatusCode::OK).then_some(()),
    )
    .await;
}

#[tokio::test]
async fn concurrent_requests_and_uploads_are_limited_per_caller() {
    for (setting, others) in [
        (
            "MEDIA_MAX_REQUESTS_PER_CALLER",
            StatusCode::TOO_MANY_REQUESTS,
        ),
        ("MEDIA_MAX_UPLOADS_PER_CALLER", StatusCode::OK),
    ] {
        let installation = with_limits(&[(setting, "2")]);
        let service = installation.serve().await;
        let _uploads = [
            begin_upload(&service, "ann", UPLOAD_START).await,
            begin_upload(&service, "ann", UPLOAD_START).await,
        ];
        uploads_begun(&installation, 2).await;
        wait_until("a third upload is refused", ANSWER_LIMIT, async || {
            let mut third = begin_upload(&service, "ann", "").await;
            let mut answer = [0; 12];
            let read = timeout(Duration::from_secs(1), third.read_exact(&mut answer)).await;
            matches!(read, Ok(Ok(_)) if &answer == b"HTTP/1.1 429").then_some(())
        })
        .await;
        let list = send(service.http.get(service.url("/medias")), "ann").await;
        assert_eq!(list.status(), others, "{setting}");
        let other = send(service.http.get(service.url("/medias")), "bob").await;
        assert_eq!(other.status(), StatusCode::OK, "{setting}");
    }
}

#[tokio::test]
async fn a_slow_upload_is_ended_and_leaves_nothing() {
    let installation = with_limits(&[
        ("MEDIA_STALL_TIMEOUT", "1s"),
        ("MEDIA_UPLOAD_MIN_RATE", "100KiB"),
    ]);
    let service = installation.serve().await;
    let mut upload = begin_upload(&service, "ann", UPLOAD_START).await;
    let mut answer = [0; 12];
    let trickle = async {
        loop {
            // A byte is sent well before the stall timeout.
            tokio::select! {
                read = upload.read_exact(&mut answer) => return read,
                () = sleep(Duration::from_millis(100)) => {}
            }
            let _ = upload.write_all(b"x").await;
        }
    };
    timeout(ANSWER_LIMIT, trickle).await.unwrap().unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
    installation.wait_for_stored_files(0).await;
}

#[tokio::test]
async fn slow_refused_bodies_do_not_block_other_clients() {
    let installation = with_limits(&[("MEDIA_MAX_CONNECTIONS", "16")]);
    let service = installation.serve().await;
    let mut refused = Vec::new();
    for _ in 0..32 {
        let mut stream = connect(&service).await;
        let head = "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx";
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 12];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 401");
        refused.push(stream);
    }
    for _ in 0..20 {
        assert_eq!(service.get("/livez").await.status(), StatusCode::OK);
    }
}

#[tokio::test]
async fn a_client_that_keeps_sending_receives_the_refusal() {
    let service = with_limits(&[]).serve().await;
    let mut stream = connect(&service).await;
    let head = "POST /jobs HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n";
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b'x'; 4_000_000]).await.unwrap();
    let mut answer = String::new();
    let read = timeout(ANSWER_LIMIT, stream.read_to_string(&mut answer)).await;
    read.unwrap().unwrap();
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}

#[tokio::test]
async fn a_new_connection_is_refused_when_all_serve_requests() {
    let installation = with_limits(&[
        ("MEDIA_MAX_CONNECTIONS", "16"),
        ("MEDIA_MAX_REQUESTS_PER_CALLER", "8"),
    ]);
    let service = installation.serve().await;
    let mut uploads = Vec::new();
    for caller in 0..16 {
        let subject = format!("caller-{caller}");
        uploads.push(begin_upload(&service, &subject, UPLOAD_START).await);
    }
    uploads_begun(&installation, 16).await;
    let told = wait_until("all connections are in use", ANSWER_LIMIT, async || {
        let mut stream = connect(&service).await;
        let head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(head).await.ok()?;
        let mut answer = String::new();
        let read = timeout(ANSWER_LIMIT, stream.read_to_string(&mut answer)).await;
        read.ok()?.ok()?;
        answer.starts_with("HTTP/1.1 503").then_some(answer)
    })
    .await;
    let (head, body) = told.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains(&format!("Content-Length: {}", body.len())),
        "{head}"
    );
    let document: Value = serde_json::from_str(body).unwrap();
    assert_eq!(document["errors"][0]["code"], "unavailable");
    drop(uploads);
    wait_until("connections are free again", ANSWER_LIMIT, async || {
        let answer = service.http.get(service.url("/livez")).send().await;
        answer
            .is_ok_and(|answer| answer.status() == StatusCode::OK)
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn connections_are_limited_per_address() {
    let installation = with_limits(&[("MEDIA_MAX_CONNECTIONS_PER_ADDRESS", "2")]);
    let service = installation.serve().await;
    let mut first = connect(&service).await;
    let _others = [connect(&service).await, connect(&service).await];
    let read = timeout(ANSWER_LIMIT, first.read(&mut [0; 1]))
        .await
        .unwrap();
    assert!(!matches!(read, Ok(1..)), "{read:?}");
    let mut last = connect(&service).await;
    let head = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    last.write_all(head).await.unwrap();
    let mut answer = [0; 12];
    last.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
}

#[tokio::test]
async fn pages_without_a_token_count_against_the_rate_limit_and_probes_do_not() {
    let service = with_limits(&[("MEDIA_RATE_LIMIT", "1")]).serve().await;
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(service.get("/docs").await.status());
        assert_eq!(service.get("/livez").await.status(), StatusCode::OK);
    }
    assert_eq!(statuses[0], StatusCode::OK);
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS));
}

#[tokio::test]
async fn a_page_of_long_items_ends_early_and_the_next_one_continues() {
    let service = with_limits(&[("MEDIA_RATE_LIMIT", "off")]).serve().await;
    let url = format!("http://origin.test/{}", "u".repeat(8000));
    let headers = json!({ "x-long": "v".repeat(8000) });
    let mut entered = Vec::new();
    for key in 0..300 {
        let arguments = json!({
            "url": url, "resource": "r", "key": key.to_string(), "headers": headers,
        });
        entered.push(enter_job(&service, "ann", &arguments).await);
    }
    let mut listed = Vec::new();
    let mut next = Some("/jobs".to_owned());
    while let Some(path) = next.take() {
        let page = send(service.http.get(service.url(&path)), "ann").await;
        let text = page.text().await.unwrap();
        assert!(text.len() < 6 << 20, "{} bytes", text.len());
        let page: Value = serde_json::from_str(&text).unwrap();
        let items = page["data"].as_array().unwrap();
        assert!(items.len() < 300);
        listed.extend(
            items
                .iter()
                .map(|job| job["id"].as_str().unwrap().to_owned()),
        );
        next = page["links"]["next"].as_str().map(ToOwned::to_owned);
    }
    assert_eq!(listed, entered);
}
