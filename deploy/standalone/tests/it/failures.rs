//! Failures of origins: a stable error code, a helpful detail, nothing left in storage, and no effect on
//! other imports.

use std::time::Duration;

use media_testkit::{
    origin::{Authority, Content, FaultyOrigin, RangedOrigin, Tls},
    service::Installation,
    wait_until,
};
use serde_json::json;

use crate::fixture::MEDIA;

/// The paths of the faulty origin, with the expected error codes.
const FAILURES: [(&str, &str); 46] = [
    ("status/404", "origin_not_found"),
    ("status/410", "origin_gone"),
    ("status/401", "origin_unauthorized"),
    ("status/403", "origin_forbidden"),
    ("status/418", "origin_refused"),
    ("status/204", "origin_refused"),
    ("status/206", "origin_refused"),
    ("status/500", "origin_error"),
    // No response, or one that never ends.
    ("hang", "response_timeout"),
    ("trickle-head", "response_timeout"),
    ("stall", "stalled"),
    ("trickle", "too_slow"),
    ("endless", "too_large"),
    ("length/1000000000000", "too_large"),
    // Responses that end too early.
    ("close", "connection_lost"),
    ("informational", "connection_lost"),
    ("reset-head", "connection_lost"),
    ("reset", "connection_lost"),
    ("short", "incomplete_body"),
    ("half-closed", "incomplete_body"),
    ("cut-chunks", "incomplete_body"),
    // Invalid HTTP.
    ("not-http", "invalid_response"),
    ("http-0.9", "invalid_response"),
    ("http2", "invalid_response"),
    ("status-line", "invalid_response"),
    ("endless-head", "invalid_response"),
    ("large-head", "invalid_response"),
    ("two-lengths", "invalid_response"),
    ("length/-5", "invalid_response"),
    ("length/five", "invalid_response"),
    ("length/18446744073709551616", "invalid_response"),
    ("bad-chunks", "invalid_response"),
    // More bytes than announced: at once, and later.
    ("long", "invalid_response"),
    ("long-later", "invalid_response"),
    // Valid HTTP with an unusable response.
    ("bomb", "too_large"),
    ("te-gzip", "unsupported_encoding"),
    ("loop", "bad_redirect"),
    ("chain/11", "bad_redirect"),
    ("status/302", "bad_redirect"),
    ("redirect?http:///", "bad_redirect"),
    ("redirect?ftp://origin.test/", "unsupported_scheme"),
    ("redirect?http://127.0.0.3/", "egress_blocked"),
    // Half of a body, a reset, and a second half that does not match the first.
    ("range/wrong-start", "incomplete_body"),
    ("range/wrong-total", "incomplete_body"),
    ("range/other-etag", "incomplete_body"),
    ("range/unsatisfiable", "incomplete_body"),
];

#[tokio::test]
async fn every_failure_has_a_code_and_no_side_effects() {
    let (origin, healthy, authority) = (
        FaultyOrigin::start().await,
        RangedOrigin::start().await,
        Authority::generate(),
    );
    let installation = Installation::new(MEDIA)
        .with("SSL_CERT_FILE", authority.file().to_str().unwrap())
        .with("MEDIA_MAX_BYTES", "1MiB")
        .with("MEDIA_RESPONSE_TIMEOUT", "1s")
        .with("MEDIA_CONNECT_TIMEOUT", "1s")
        .with("MEDIA_STALL_TIMEOUT", "2s")
        .with("MEDIA_IMPORT_TIMEOUT", "8s")
        .with("MEDIA_LEASE", "5s");
    let service = installation.serve().await;

    let closed_port = format!("http://127.0.0.1:{}/", media_testkit::free_port());
    let mut cases = vec![
        (closed_port.clone(), "connect_failed"),
        (closed_port.replace("http:", "https:"), "connect_failed"),
        (origin.url("").replace("http:", "https:"), "tls_failed"),
        ("http://no-such-host.invalid/".to_owned(), "dns_failed"),
        ("http://127.0.0.2/".to_owned(), "egress_blocked"),
        ("http://[::1]/".to_owned(), "egress_blocked"),
        ("http://0x7f000002/".to_owned(), "egress_blocked"),
    ];
    // Under another host name, because these responses put the host into back-off for all imports.
    let elsewhere = |path: &str| origin.url(path).replace("127.0.0.1", "localhost");
    cases.push((elsewhere("status/429"), "origin_busy"));
    cases.push((elsewhere("status/503"), "origin_error"));
    cases.extend(FAILURES.map(|(path, code)| (origin.url(path), code)));
    let mut secure = Vec::new();
    for (tls, path, code) in [
        (Tls::SelfSigned, "", "tls_failed"),
        (Tls::OtherName, "", "tls_failed"),
        (Tls::Expired, "", "tls_failed"),
        (Tls::Http2Only, "http2", "tls_failed"),
        (Tls::Silent, "", "connect_timeout"),
        (Tls::Good, "reset", "connection_lost"),
        (Tls::Good, "short", "incomplete_body"),
    ] {
        let origin = authority.origin(tls).await;
        cases.push((origin.url(path), code));
        secure.push(origin);
    }

    // This import takes four seconds, during which others fail.
    let content = Content::Generated {
        size: 400 << 10,
        seed: 1,
    };
    let url = healthy.add("slow", content.clone());
    healthy.script(|script| script.rate = Some(100 << 10));
    let slow = json!({ "url": url, "resource": "healthy" });
    let slow = service.create_job(&slow, json!({ "max_retries": 0 })).await;
    let slow = slow["id"].as_str().unwrap();
    service.wait_for(slow, &["running"]).await;

    let jobs = cases.iter().enumerate().map(|(n, (url, code))| {
        let service = &service;
        async move {
            let job = service.import(url, "failures", Some(&n.to_string())).await;
            assert_eq!(job["attributes"]["error"], *code, "{url}: {job}");
            let detail = job["attributes"]["error_detail"].as_str().unwrap();
            assert!(detail.len() > 20, "{url}: {detail}");
            assert_eq!(job["attributes"]["status"], "failed");
        }
    });
    futures_util::future::join_all(jobs).await;

    let slow = service.wait_for(slow, &["succeeded", "failed"]).await;
    assert_eq!(slow["attributes"]["status"], "succeeded", "{slow}");
    assert_eq!(service.media("healthy").await["sha256"], content.sha256());
    assert_eq!(healthy.requests().len(), 1, "{:?}", healthy.requests());

    installation.wait_for_stored_files(1).await;
    wait_until(
        "no connection is left",
        Duration::from_secs(30),
        async || {
            let open: usize = secure.iter().map(FaultyOrigin::open).sum();
            (open + origin.open() == 0).then_some(())
        },
    )
    .await;
}

#[tokio::test]
async fn unusual_complete_responses_are_stored() {
    let (origin, authority) = (FaultyOrigin::start().await, Authority::generate());
    let secure = authority.origin(Tls::Good).await;
    let installation =
        Installation::new(MEDIA).with("SSL_CERT_FILE", authority.file().to_str().unwrap());
    let service = installation.serve().await;
    for (url, size) in [
        (origin.url("status/200"), 4),
        (origin.url("length-and-chunks"), 5),
        (origin.url("chain/10"), 4),
        (origin.url("many-headers"), 4),
        (origin.url("gzip"), 5),
        (origin.url("two-codings"), 5),
        (origin.url("range/unasked"), 128 * 1024),
        (secure.url("status/200"), 4),
    ] {
        let job = service.import(&url, "odd", None).await;
        assert_eq!(job["attributes"]["status"], "succeeded", "{url}: {job}");
        assert_eq!(service.media("odd").await["size"], size, "{url}");
    }
}

#[tokio::test]
async fn an_incomplete_body_is_never_stored() {
    let (origin, installation) = (
        FaultyOrigin::start().await,
        Installation::new(MEDIA)
            .with("MEDIA_STALL_TIMEOUT", "1s")
            .with("MEDIA_LEASE", "5s"),
    );
    let service = installation.serve().await;
    for (path, code) in [
        ("reset", "connection_lost"),
        ("short", "incomplete_body"),
        ("stall", "stalled"),
    ] {
        let job = service.import(&origin.url(path), "broken", None).await;
        assert_eq!(job["attributes"]["error"], code, "{path}: {job}");
        assert_eq!(
            service.get("/medias/info/broken").await.status(),
            404,
            "{path}"
        );
    }
    // Refused by the announced length, before a byte is stored.
    let arguments = json!({ "url": origin.url("short"), "resource": "broken", "max_bytes": 100 });
    let job = service.create_job(&arguments, json!({})).await;
    let job = service
        .wait_for(job["id"].as_str().unwrap(), &["failed"])
        .await;
    assert_eq!(job["attributes"]["error"], "too_large", "{job}");
    installation.wait_for_stored_files(0).await;
}

#[tokio::test]
async fn only_temporary_failures_are_retried() {
    let (origin, installation) = (FaultyOrigin::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let arguments = |path: &str| json!({ "url": origin.url(path), "resource": "retry", "key": path.replace('/', "-") });

    let job = service
        .create_job(&arguments("status/500"), json!({ "max_retries": 1 }))
        .await;
    let job = service
        .wait_for(job["id"].as_str().unwrap(), &["failed"])
        .await;
    assert_eq!(job["attributes"]["retry_count"], 1);

    let job = service
        .create_job(&arguments("status/404"), json!({ "max_retries": 5 }))
        .await;
    let job = service
        .wait_for(job["id"].as_str().unwrap(), &["failed"])
        .await;
    assert_eq!(job["attributes"]["retry_count"], 0);

    let job = service
        .create_job(&arguments("retry-after"), json!({}))
        .await;
    let job = service
        .wait_for(job["id"].as_str().unwrap(), &["scheduled"])
        .await;
    let at = |name: &str| {
        let text = job["attributes"][name].as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(text).unwrap()
    };
    // A random delay is added, so that not all retries start at once.
    let wait = (at("scheduled_at") - at("updated_at")).num_seconds();
    assert!((3600..=3660).contains(&wait), "{wait}");
}

/// Uses the default response timeout, which must not expire before the limit of interim bytes is reached.
#[tokio::test]
async fn endless_interim_responses_are_invalid() {
    let origin = FaultyOrigin::start().await;
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    for path in ["flood/100", "flood/103"] {
        let job = service
            .import(&origin.url(path), "flood", Some(&path[6..]))
            .await;
        assert_eq!(
            job["attributes"]["error"], "invalid_response",
            "{path}: {job}"
        );
    }
}
