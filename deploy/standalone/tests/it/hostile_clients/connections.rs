//! Limits on connections whose clients send or read slowly.

use tokio::net::TcpSocket;

use super::*;

/// Longer than any timeout of a connection.
const CLOSE_LIMIT: Duration = Duration::from_secs(90);
/// The size of an unfinished head that counts as large.
const LARGE_HEAD_BYTES: usize = 20 * 1024;

/// Connects with a small receive buffer, so that a response stays in the service until it is read.
async fn connect_with_small_buffer(service: &Service) -> TcpStream {
    let address: SocketAddr = service.url("").replace("http://", "").parse().unwrap();
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    socket.connect(address).await.unwrap()
}

/// Creates jobs that fill a page of 4 MiB.
async fn enter_long_jobs(service: &Service, subject: &str) {
    let arguments = json!({
        "url": format!("http://origin.test/{}", "u".repeat(8000)),
        "resource": "r",
    });
    let later = json!({ "scheduled_at": FAR_FUTURE });
    let document = media_testkit::service::import(&arguments, later);
    for _ in 0..600 {
        // On a slow disk the service may refuse for a while.
        wait_until("a job is created", CLOSE_LIMIT, async || {
            let request = service.http.post(service.url("/jobs")).json(&document);
            (send(request, subject).await.status() == StatusCode::CREATED).then_some(())
        })
        .await;
    }
}

async fn ask_for_jobs(stream: &mut TcpStream, subject: &str) {
    let head = format!(
        "GET /jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
        project_token(subject, subject)
    );
    stream.write_all(head.as_bytes()).await.unwrap();
}

#[tokio::test]
async fn a_slow_head_is_closed() {
    let service = with_limits(&[]).serve().await;
    let mut stream = connect(&service).await;
    let begin = b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    stream.write_all(begin).await.unwrap();
    let trickle = async {
        let mut answer = [0; 1];
        loop {
            let read = timeout(Duration::from_millis(200), stream.read(&mut answer)).await;
            match read {
                Ok(Ok(1..)) => {}
                Ok(_) => return,
                // The next read reports a write to a closed connection.
                Err(_) => drop(stream.write_all(b"x").await),
            }
        }
    };
    timeout(CLOSE_LIMIT, trickle).await.unwrap();
}

#[tokio::test]
async fn the_oldest_of_too_many_large_unfinished_heads_is_closed() {
    let service = with_limits(&[]).serve().await;
    let mut heads = Vec::new();
    for _ in 0..66 {
        let mut stream = connect(&service).await;
        stream
            .write_all(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n")
            .await
            .unwrap();
        for _ in 0..LARGE_HEAD_BYTES / 1024 {
            let line = format!("X-Large: {}\r\n", "v".repeat(1013));
            if stream.write_all(line.as_bytes()).await.is_err() {
                break;
            }
        }
        heads.push(stream);
    }
    // Shorter than the timeout of a head, which would close all connections.
    let limit = Duration::from_secs(8);
    let read = timeout(limit, heads[0].read(&mut [0; 1])).await.unwrap();
    assert!(!matches!(read, Ok(1..)), "{read:?}");
    let newest = heads.last_mut().unwrap();
    newest.write_all(b"\r\n").await.unwrap();
    let mut answer = [0; 9];
    newest.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 ");
}

#[tokio::test]
async fn half_of_the_connections_may_be_event_streams() {
    let service = with_limits(&[("MEDIA_MAX_CONNECTIONS", "16")])
        .serve()
        .await;
    let arguments = json!({ "url": "http://origin.test/", "resource": "r" });
    let mut streams = Vec::new();
    let mut statuses = Vec::new();
    for caller in 0..9 {
        let subject = format!("caller-{caller}");
        let job = enter_job(&service, &subject, &arguments).await;
        let stream = listen(&service, &subject, &job).await;
        statuses.push(stream.status());
        streams.push(stream);
    }
    assert_eq!(statuses[..8], [StatusCode::OK; 8]);
    let refused = streams.pop().unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(error_code(refused).await, "unavailable");
}

#[tokio::test]
async fn unread_lists_use_bounded_memory_and_are_closed() {
    let service = with_limits(&[
        ("MEDIA_RESPONSE_MEMORY", "32MiB"),
        ("MEDIA_RATE_LIMIT", "off"),
    ])
    .serve()
    .await;
    enter_long_jobs(&service, "ann").await;
    let mut unread = connect_with_small_buffer(&service).await;
    ask_for_jobs(&mut unread, "ann").await;
    let mut first = [0; 12];
    unread.read_exact(&mut first).await.unwrap();
    assert_eq!(&first, b"HTTP/1.1 200");

    let refused = service
        .http
        .get(service.url("/jobs"))
        .bearer_auth(project_token("ann", "ann"));
    let refused = timeout(CLOSE_LIMIT, refused.send()).await.unwrap().unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(error_code(refused).await, "unavailable");
    let other = send(service.http.get(service.url("/jobs")), "bob").await;
    assert_eq!(other.status(), StatusCode::OK);

    // The service closes the connection of the slow reader and frees its memory.
    wait_until("memory is free again", CLOSE_LIMIT, async || {
        let list = service
            .http
            .get(service.url("/jobs"))
            .bearer_auth(project_token("ann", "ann"));
        (list.send().await.ok()?.status() == StatusCode::OK).then_some(())
    })
    .await;
    let mut rest = Vec::new();
    let read = timeout(CLOSE_LIMIT, unread.read_to_end(&mut rest)).await;
    assert!(
        !matches!(read, Ok(Ok(bytes)) if bytes > 4_000_000),
        "{read:?}"
    );
}
