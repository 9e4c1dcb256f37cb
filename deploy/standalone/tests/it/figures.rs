//! The figures tell what has happened, and nothing that clients made up.

use media_testkit::{figures::Figures, nginx::Nginx, service::Installation};
use reqwest::{
    StatusCode, header,
    multipart::{Form, Part},
};

use crate::MEDIA;

async fn figures_of(service: &media_testkit::service::Service) -> Figures {
    let answer = service.get("/metrics").await;
    assert_eq!(answer.status(), StatusCode::OK);
    let kind = answer.headers()[header::CONTENT_TYPE].to_str().unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    Figures::read(&answer.text().await.unwrap())
}

#[tokio::test]
async fn what_has_happened_is_counted() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let origin = Nginx::start().await;
    let before = figures_of(&service).await;
    assert_eq!(
        before.of("media_jobs_pending", &[("class", "media:import")]),
        Some(0.0)
    );
    assert_eq!(before.of("media_database_up", &[]), Some(1.0));

    origin.add("there", b"ten bytes.");
    let job = service.import(&origin.url("there"), "r", None).await;
    assert_eq!(job["attributes"]["status"], "succeeded");
    let job = service.import(&origin.url("nowhere"), "r", Some("k")).await;
    assert_eq!(job["attributes"]["error"], "origin_not_found");
    let file = Part::bytes(b"four".to_vec()).file_name("a");
    let upload = service
        .http
        .post(service.url("/medias/files/a-name-of-a-client"));
    let upload = upload.multipart(Form::new().part("media", file)).send();
    assert_eq!(upload.await.unwrap().status(), StatusCode::OK);
    assert_eq!(
        service.get("/made/up").await.status(),
        StatusCode::NOT_FOUND
    );

    let now = figures_of(&service).await;
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
                ("status", "200"),
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
            now.of(name, labels),
            Some(value),
            "{name} {labels:?}\n{now}"
        );
    }
    for name in [
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
    ] {
        assert!(now.of(name, &[]).unwrap() > 0.0, "{name}");
    }
    assert!(!now.to_string().contains("a-name-of-a-client"), "{now}");
}
