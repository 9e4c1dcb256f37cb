//! When the origin fails: a stable code, a helpful sentence, and nothing left in storage.

use std::time::Duration;

use media_testkit::{origin::Origin, service::Installation, wait_until};
use serde_json::json;

use crate::MEDIA;

#[tokio::test]
async fn every_failure_has_a_name_and_leaves_nothing() {
    let (origin, installation) = (
        Origin::start().await,
        Installation::new(MEDIA)
            .with("MEDIA_RESPONSE_TIMEOUT", "1s")
            .with("MEDIA_CONNECT_TIMEOUT", "1s")
            .with("MEDIA_STALL_TIMEOUT", "1s")
            .with("MEDIA_IMPORT_TIMEOUT", "4s")
            .with("MEDIA_LEASE", "5s"),
    );
    let service = installation.serve().await;
    let nobody = format!("http://127.0.0.1:{}/", media_testkit::free_port());
    let too_deep = origin.url(&format!("redirect?{}", "ftp://origin.test/"));
    let downgrade = origin.url("redirect?http:///");
    let cases = [
        (origin.url("status/404"), "origin_not_found"),
        (origin.url("status/410"), "origin_gone"),
        (origin.url("status/401"), "origin_unauthorized"),
        (origin.url("status/403"), "origin_forbidden"),
        (origin.url("status/418"), "origin_refused"),
        (origin.url("status/204"), "origin_refused"),
        (origin.url("status/206"), "origin_refused"),
        (origin.url("status/429"), "origin_busy"),
        (origin.url("status/500"), "origin_error"),
        (origin.url("status/503"), "origin_error"),
        (origin.url("hang"), "response_timeout"),
        (origin.url("trickle"), "total_timeout"),
        (origin.url("not-http"), "invalid_response"),
        (origin.url("close"), "connection_lost"),
        (origin.url("cut-chunks"), "incomplete_body"),
        (origin.url("bad-chunks"), "invalid_response"),
        (origin.url("gzip"), "unsupported_encoding"),
        (origin.url("loop"), "bad_redirect"),
        (origin.url("stall"), "stalled"),
        (too_deep, "unsupported_scheme"),
        (downgrade, "bad_redirect"),
        (nobody.clone(), "connect_failed"),
        (nobody.replace("http:", "https:"), "connect_failed"),
        (origin.url("").replace("http:", "https:"), "tls_failed"),
        ("http://no-such-host.invalid/".to_owned(), "dns_failed"),
        ("http://127.0.0.2/".to_owned(), "egress_blocked"),
        ("http://[::1]/".to_owned(), "egress_blocked"),
        ("http://0x7f000002/".to_owned(), "egress_blocked"),
        (origin.url("redirect?http://127.0.0.3/"), "egress_blocked"),
    ];
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
    wait_until("nothing is left", Duration::from_secs(30), async || {
        installation.stored_files().is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_body_that_breaks_is_never_kept() {
    let (origin, installation) = (
        Origin::start().await,
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
    // Refused by what it announces, before a byte is stored.
    let arguments = json!({ "url": origin.url("short"), "resource": "broken", "max_bytes": 100 });
    let job = service.enter(&arguments, json!({})).await;
    let job = service
        .wait_for(job["id"].as_str().unwrap(), &["failed"])
        .await;
    assert_eq!(job["attributes"]["error"], "too_large", "{job}");
    // What follows the promised length is not part of the answer.
    let job = service.import(&origin.url("long"), "long", None).await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    assert_eq!(service.media("long").await["size"], 5);
    wait_until("nothing is left", Duration::from_secs(30), async || {
        (installation.stored_files().len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_can_help_is_tried_again_and_what_cannot_is_not() {
    let (origin, installation) = (Origin::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let arguments = |path: &str| json!({ "url": origin.url(path), "resource": "retry", "key": path.replace('/', "-") });

    let job = service
        .enter(&arguments("status/500"), json!({ "max_retries": 1 }))
        .await;
    let job = service
        .wait_for(job["id"].as_str().unwrap(), &["failed"])
        .await;
    assert_eq!(job["attributes"]["retry_count"], 1);

    let job = service
        .enter(&arguments("status/404"), json!({ "max_retries": 5 }))
        .await;
    let job = service
        .wait_for(job["id"].as_str().unwrap(), &["failed"])
        .await;
    assert_eq!(job["attributes"]["retry_count"], 0);

    let job = service.enter(&arguments("retry-after"), json!({})).await;
    let job = service
        .wait_for(job["id"].as_str().unwrap(), &["scheduled"])
        .await;
    let at = |name: &str| {
        let text = job["attributes"][name].as_str().unwrap();
        chrono::DateTime::parse_from_rfc3339(text).unwrap()
    };
    assert_eq!((at("scheduled_at") - at("updated_at")).num_seconds(), 3600);
}
