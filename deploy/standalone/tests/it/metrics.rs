//! Metrics count events, and contain no text of clients.

use media_testkit::{metrics::Metrics, nginx::Nginx, service::Installation};
use reqwest::{StatusCode, header};

use crate::fixture::{MEDIA, upload};

async fn metrics_of(service: &media_testkit::service::Service) -> Metrics {
    let answer = service.get("/metrics").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let kind = answer.headers()[header::CONTENT_TYPE].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    Metrics::read(&answer.text().await.unwrap())
}

#[tokio::test]
async fn events_are_counted() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let origin = Nginx::start().await;
    let before = metrics_of(&service).await;
    assert_eq!(
        before.value("media_jobs_pending", &[("class", "media:import")]),
        Some(0.0)
    );
    assert_eq!(before.value("media_database_up", &[]), Some(1.0));

    origin.add("there", b"ten bytes.");
    let job = service.import(&origin.url("there"), "r", None).await;
    assert_eq!(job["attributes"]["status"], "succeeded");
    let job = service.import(&origin.url("nowhere"), "r", Some("k")).await;
    assert_eq!(job["attributes"]["error"], "origin_not_found");
    upload(&service, "a-name-of-a-client", "a", b"four").await;
    assert_eq!(
        service.get("/made/up").await.status(),
        StatusCode::NOT_FOUND
    );

    let now = metrics_of(&service).await;
    let class = ("class", "media:import");
    for (name, labels, value) in [
        ("media_jobs_entered_total", &[class][..], 2.0),
        (
            "media_jobs_ended_total",
            &[class, ("outcome", "succeeded")],
            1.0,
        ),
        (
            "media_jobs_ended_total",
            &[class, ("outcome", "failed")],
            1.0,
        ),
        (
            "media_attempts_total",
            &[class, ("outcome", "succeeded")],
            1.0,
        ),
        ("media_attempts_total", &[class, ("outcome", "failed")], 1.0),
        (
            "media_attempt_failures_total",
            &[("code", "origin_not_found")],
            1.0,
        ),
        (
            "media_attempt_duration_seconds_count",
            &[class, ("outcome", "succeeded")],
            1.0,
        ),
        ("media_job_pickup_seconds_count", &[], 2.0),
        ("media_fetched_bytes_total", &[], 10.0),
        ("media_fetch_throughput_bytes_per_second_count", &[], 1.0),
        ("media_stored_bytes_total", &[("by", "import")], 10.0),
        ("media_stored_bytes_total", &[("by", "upload")], 4.0),
        (
            "media_http_requests_total",
            &[("method", "POST"), ("route", "/jobs"), ("status", "201")],
            2.0,
        ),
        (
            "media_http_requests_total",
            &[
                ("method", "POST"),
                ("route", "/medias/files/{resource}"),
                ("status", "201"),
            ],
            1.0,
        ),
        (
            "media_http_requests_total",
            &[("method", "GET"), ("route", "none"), ("status", "404")],
            1.0,
        ),
        ("media_http_requests_in_flight", &[], 1.0),
        ("media_fenced_writes_total", &[], 0.0),
    ] {
        assert_eq!(
            now.value(name, labels),
            Some(value),
            "{name} {labels:?}\n{now}"
        );
    }
    for name in [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
    ] {
        assert!(now.value(name, &[]).unwrap() > 0.0, "{name}");
    }
    assert!(!now.to_string().contains("a-name-of-a-client"), "{now}");
}
