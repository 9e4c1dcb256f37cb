//! `if_exists` on imports, with nginx and with origins that answer conditional requests wrongly; and digests.

use media_testkit::{
    nginx::Nginx,
    origin::{FaultyOrigin, VerbatimOrigin},
    service::{Installation, Service},
};
use serde_json::{Value, json};

use crate::fixture::MEDIA;

/// Imports to one path, and returns the attributes of the job.
async fn import(service: &Service, url: &str, more: Value) -> Value {
    let mut arguments = json!({ "url": url, "resource": "r", "key": "k" });
    if let (Some(arguments), Value::Object(more)) = (arguments.as_object_mut(), more) {
        arguments.extend(more);
    }
    let job = service
        .create_job(&arguments, json!({ "max_retries": 0 }))
        .await;
    let id = job["id"].as_str().unwrap();
    service.wait_for(id, &["succeeded", "failed"]).await["attributes"].clone()
}

async fn succeed(service: &Service, url: &str, if_exists: &str) {
    let job = import(service, url, json!({ "if_exists": if_exists })).await;
    assert_eq!(job["status"], "succeeded", "{job}");
    assert_eq!(job["progress"], 100);
}

/// The media at the path, and its bytes.
async fn media(service: &Service) -> (Value, String) {
    let media: Value = service.get("/medias/info/r/k").await.json().await.unwrap();
    let bytes = service.get("/medias/files/r/k").await.text().await.unwrap();
    (media["data"].clone(), bytes)
}

#[tokio::test]
async fn fail_and_skip_leave_the_media_and_fetch_nothing() {
    let (origin, installation) = (VerbatimOrigin::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    origin.add_file("/a", "", b"one");
    let url = origin.url("/a");
    succeed(&service, &url, "fail").await;
    let before = media(&service).await;
    origin.add_file("/a", "", b"two");
    let job = import(&service, &url, json!({ "if_exists": "fail" })).await;
    assert_eq!(
        (&job["status"], &job["error"]),
        (&json!("failed"), &json!("already_exists"))
    );
    succeed(&service, &url, "skip").await;
    assert_eq!(media(&service).await, before);
    assert_eq!(origin.requests("/a").len(), 1);
    succeed(&service, &url, "replace").await;
    assert_eq!(media(&service).await.1, "two");
    installation.wait_for_stored_files(1).await;
}

#[tokio::test]
async fn refresh_replaces_what_nginx_has_changed() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    nginx.add("a.txt", b"one");
    let url = nginx.url("a.txt");
    succeed(&service, &url, "refresh").await;
    let before = media(&service).await;
    let files = installation.stored_files();
    succeed(&service, &url, "refresh").await;
    assert_eq!(media(&service).await, before);
    assert_eq!(installation.stored_files(), files);
    nginx.add("a.txt", b"other");
    succeed(&service, &url, "refresh").await;
    let after = media(&service).await;
    assert_eq!(
        (after.1.as_str(), &after.0["id"]),
        ("other", &before.0["id"])
    );
}

#[tokio::test]
async fn a_refresh_sends_the_validators_of_the_same_url() {
    let (origin, installation) = (VerbatimOrigin::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let validators = "ETag: W/\"v1\"\r\nLast-Modified: Mon, 23 Nov 2026 12:00:00 GMT\r\n\
         Date: Mon, 23 Nov 2026 13:00:00 GMT\r\n";
    origin.add_file("/a", validators, b"one");
    origin.add_file("/b", "", b"one");
    let asked = |path: &str| {
        origin
            .requests(path)
            .last()
            .unwrap()
            .contains("if-none-match")
    };
    succeed(&service, &origin.url("/a"), "replace").await;
    assert!(!asked("/a"));
    succeed(&service, &origin.url("/a"), "refresh").await;
    let request = origin.requests("/a").pop().unwrap();
    assert!(request.contains("if-none-match: W/\"v1\""), "{request}");
    assert!(
        request.contains("if-modified-since: Mon, 23 Nov 2026 12:00:00 GMT"),
        "{request}"
    );
    // A media that does not fulfil the arguments has to be fetched.
    let md5 = json!({ "if_exists": "refresh", "md5": "f97c5d29941bfb1b2fdab0874906ab82" });
    assert_eq!(
        import(&service, &origin.url("/a"), md5).await["status"],
        "succeeded"
    );
    assert!(!asked("/a"));
    // Validators of another URL tell nothing.
    succeed(&service, &origin.url("/b"), "refresh").await;
    assert!(!asked("/b"));
}

/// An origin with weak validators answers 304 to conditions that belong to another file.
#[tokio::test]
async fn a_refresh_notices_another_redirect_and_other_request_headers() {
    let (origin, installation) = (VerbatimOrigin::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let moved = |to: &str| format!("HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: {to}");
    let dated =
        "Last-Modified: Mon, 23 Nov 2026 12:00:00 GMT\r\nDate: Mon, 23 Nov 2026 13:00:00 GMT\r\n";
    origin.add_file("/one", dated, b"one");
    origin.add("/latest", moved("/one"), b"");
    let latest = origin.url("/latest");
    succeed(&service, &latest, "replace").await;
    let whole = "HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\ntwo";
    let unchanged = "HTTP/1.1 304 Not Modified";
    origin.add_gated("/two", "if-modified-since", unchanged, b"", whole);
    origin.add("/latest", moved("/two"), b"");
    succeed(&service, &latest, "refresh").await;
    assert_eq!(media(&service).await.1, "two\r\n\r\n");

    let in_language = |language: &str| json!({ "if_exists": "refresh", "headers": { "Accept-Language": language } });
    let url = origin.add_file("/text", dated, b"Guten Tag");
    import(&service, &url, in_language("de")).await;
    origin.add_file("/text", dated, b"Good day");
    import(&service, &url, in_language("en")).await;
    assert_eq!(media(&service).await.1, "Good day");
    let last = origin.requests("/text").pop().unwrap();
    assert!(!last.contains("if-modified-since"), "{last}");
}

#[tokio::test]
async fn a_refresh_survives_wrong_answers_to_its_condition() {
    let (origin, installation) = (FaultyOrigin::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    for path in ["refresh/other-tag", "refresh/same-bytes"] {
        let url = origin.url(path);
        succeed(&service, &url, "replace").await;
        let before = media(&service).await;
        installation.wait_for_stored_files(1).await;
        let files = installation.stored_files();
        succeed(&service, &url, "refresh").await;
        assert_eq!(media(&service).await, before, "{path}");
        installation.wait_for_stored_files(1).await;
        assert_eq!(installation.stored_files(), files, "{path}");
    }
    let job = import(
        &service,
        &origin.url("refresh/failing"),
        json!({ "if_exists": "refresh" }),
    )
    .await;
    assert_eq!(job["error"], "origin_error", "{job}");
}

#[tokio::test]
async fn digests_are_verified_and_sent() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    nginx.add("a.txt", b"abc");
    let url = nginx.url("a.txt");
    let right = json!({ "md5": "900150983cd24fb0d6963f7d28e17f72", "meta": { "n": 1 } });
    assert_eq!(import(&service, &url, right).await["status"], "succeeded");
    let wrong = json!({ "md5": "00000000000000000000000000000000" });
    assert_eq!(
        import(&service, &url, wrong).await["error"],
        "checksum_mismatch"
    );
    assert_eq!(
        media(&service).await.0["attributes"]["meta"],
        json!({ "n": 1 })
    );
    let digest = "sha-256=:ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=:";
    let path = service.url("/medias/files/r/k");
    let whole = service.http.get(&path).send().await.unwrap();
    let head = service.http.head(&path).send().await.unwrap();
    let part = service
        .http
        .get(&path)
        .header("range", "bytes=1-1")
        .send()
        .await
        .unwrap();
    assert_eq!(part.status(), 206);
    for answer in [whole, head, part] {
        assert_eq!(answer.headers()["repr-digest"], digest);
    }
}
