//! Limits of requests, heads and connections.

use std::{net::SocketAddr, time::Duration};

use media_shared::open_files;
use media_testkit::{
    service::{FAR_FUTURE, Installation, Service},
    tokens::project_token,
    wait_until,
};
use reqwest::StatusCode;
use serde_json::json;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::fixture::{MEDIA, error_code, with_authentication};

/// The longest time until a response of a service with many connections.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);

fn address(service: &Service) -> SocketAddr {
    let url = service.url("");
    url.strip_prefix("http://").unwrap().parse().unwrap()
}

#[tokio::test]
async fn the_request_rate_is_limited_per_caller() {
    let installation = with_authentication().with("MEDIA_RATE_LIMIT", "1");
    let service = installation.serve().await;
    let ask = async |token: &str| {
        let request = service.http.get(service.url("/jobs")).bearer_auth(token);
        request.send().await.unwrap()
    };
    let ann = project_token("ann", "a");
    let mut refused = None;
    for _ in 0..40 {
        let answer = ask(&ann).await;
        let header = |name: &str| -> u32 {
            let value = answer.headers()[name].to_str().unwrap();
            value.parse().unwrap()
        };
        assert_eq!(header("ratelimit-limit"), 10);
        assert!(header("ratelimit-remaining") < 10);
        assert!(header("ratelimit-reset") <= 10);
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            refused = Some(answer);
            break;
        }
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let refused = refused.expect("forty requests are too many");
    let wait: u64 = refused.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=2).contains(&wait), "{wait}");
    assert_eq!(error_code(refused).await, "rate_limited");
    // A caller of the same name in another project, and a caller without a token.
    assert_eq!(
        ask(&project_token("ann", "b")).await.status(),
        StatusCode::OK
    );
    let anonymous = service.get("/medias/info/nothing").await;
    assert_eq!(anonymous.status(), StatusCode::NOT_FOUND);
    for _ in 0..40 {
        assert_eq!(service.get("/livez").await.status(), StatusCode::OK);
    }
    // Invalid tokens are counted by client address.
    let mut last = StatusCode::OK;
    for _ in 0..40 {
        last = ask("garbage").await.status();
    }
    assert_eq!(last, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test]
async fn callers_behind_a_trusted_proxy_are_distinguished() {
    let installation = with_authentication()
        .with("MEDIA_TRUSTED_PROXIES", "127.0.0.0/8")
        .with("MEDIA_RATE_LIMIT", "1");
    let service = installation.serve().await;
    let ask = async |from: &str| {
        let request = service.http.get(service.url("/medias/info/nothing"));
        let answer = request.header("x-forwarded-for", from).send().await;
        answer.unwrap().status()
    };
    let mut statuses = Vec::new();
    for _ in 0..40 {
        statuses.push(ask("192.0.2.1").await);
    }
    assert!(statuses.contains(&StatusCode::TOO_MANY_REQUESTS));
    assert_eq!(ask("192.0.2.2").await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused() {
    let service = Installation::new(MEDIA).serve().await;
    let long = service.url(&format!("/jobs?filter[unicity]={}", "a".repeat(20_000)));
    let answer = service.http.get(long).send().await.unwrap();
    assert_eq!(answer.status(), StatusCode::URI_TOO_LONG);
    assert_eq!(error_code(answer).await, "uri_too_long");
    let request = service.http.get(service.url("/jobs"));
    let answer = request.header("x-large", "a".repeat(40_000)).send().await;
    let answer = answer.unwrap();
    assert_eq!(answer.status(), StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(error_code(answer).await, "headers_too_large");
    // Heads with a too large or too many headers.
    for head in [
        format!("GET /jobs HTTP/1.1\r\nX: {}\r\n\r\n", "a".repeat(1 << 20)),
        format!("GET /jobs HTTP/1.1\r\n{}\r\n", "X: a\r\n".repeat(1000)),
    ] {
        let mut stream = TcpStream::connect(address(&service)).await.unwrap();
        // The service may refuse before it has received everything.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = [0; 12];
        let read = timeout(ANSWER_LIMIT, stream.read_exact(&mut answer)).await;
        if read.unwrap().is_ok() {
            assert_eq!(&answer, b"HTTP/1.1 431");
        }
    }
    assert_eq!(service.get("/livez").await.status(), StatusCode::OK);
}

/// Opens idle connections, and sends an unfinished head on every tenth.
async fn open_idle_connections(service: &Service, connections: usize) -> Vec<TcpStream> {
    let mut open = Vec::new();
    for number in 0..connections {
        let mut stream = TcpStream::connect(address(service)).await.unwrap();
        if number % 10 == 0 {
            // The service may have closed the connection to make room for another.
            let _ = stream.write_all(b"GET /livez HTTP/1.1\r\nX-Slow: ").await;
        }
        open.push(stream);
    }
    open
}

/// Counts the connections that the service has not closed.
fn still_open(connections: &[TcpStream]) -> usize {
    let is_open = |stream: &&TcpStream| {
        let read = stream.try_read(&mut [0; 1]);
        matches!(read, Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
    };
    connections.iter().filter(is_open).count()
}

#[tokio::test]
async fn ten_thousand_idle_connections_do_not_block_other_clients() {
    open_files::raise_limit();
    let service = Installation::new(MEDIA).serve().await;
    let open = open_idle_connections(&service, 10_000).await;
    for path in ["/livez", "/jobs", "/medias"] {
        let answer = timeout(ANSWER_LIMIT, service.get(path)).await;
        assert_eq!(answer.unwrap().status(), StatusCode::OK, "{path}");
    }
    wait_until("most of them are closed", ANSWER_LIMIT, async || {
        (still_open(&open) <= 4096).then_some(())
    })
    .await;
}

#[tokio::test]
async fn active_requests_are_not_evicted_for_idle_connections() {
    let installation = Installation::new(MEDIA).with("MEDIA_MAX_CONNECTIONS", "16");
    let service = installation.serve().await;
    let job = service
        .create_job(
            &json!({ "url": "http://origin.test/", "resource": "r" }),
            json!({ "scheduled_at": FAR_FUTURE }),
        )
        .await;
    let path = format!("/jobs/{}/events", job["id"].as_str().unwrap());
    let mut events = service.get(&path).await;
    assert!(events.chunk().await.unwrap().is_some());
    let open = open_idle_connections(&service, 100).await;
    wait_until("most of them are closed", ANSWER_LIMIT, async || {
        (still_open(&open) < 16).then_some(())
    })
    .await;
    let deleted = service
        .http
        .delete(service.url(path.trim_end_matches("/events")));
    assert_eq!(
        deleted.send().await.unwrap().status(),
        StatusCode::NO_CONTENT
    );
    // The stream is still open and receives the event.
    let heard = timeout(ANSWER_LIMIT, async {
        let mut heard = String::new();
        while let Some(chunk) = events.chunk().await.unwrap() {
            heard.push_str(&String::from_utf8_lossy(&chunk));
        }
        heard
    });
    assert!(heard.await.unwrap().contains("end"));
}
