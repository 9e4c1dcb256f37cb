//! Failed imports show no secrets in jobs, events and logs.

use media_testkit::{
    origin::{FaultyOrigin, VerbatimOrigin},
    service::Installation,
};
use serde_json::json;

use crate::fixture::MEDIA;

const SECRETS: [&str; 4] = [
    "s3cr3t-user",
    "s3cr3t-password",
    "s3cr3t-query",
    "s3cr3t-header",
];

#[tokio::test]
async fn no_secret_of_an_import_is_logged_or_shown() {
    let origin = FaultyOrigin::start().await;
    let installation = Installation::new(MEDIA)
        .with("RUST_LOG", "debug,hyper=info,h2=info")
        .with("MEDIA_LOG_FORMAT", "json")
        .logging();
    let service = installation.serve().await;
    let with_secrets = |path: &str| {
        let url = origin.url(path);
        let url = url.replacen("http://", "http://s3cr3t-user:s3cr3t-password@", 1);
        let mark = if path.contains('?') { '&' } else { '?' };
        format!("{url}{mark}token=s3cr3t-query")
    };
    let beyond = with_secrets("status/404").replace('&', "%26");
    for (number, path) in [
        "status/404",
        "reset",
        "te-gzip",
        &format!("redirect?{beyond}"),
    ]
    .into_iter()
    .enumerate()
    {
        let arguments = json!({
            "url": with_secrets(path),
            "resource": "secret",
            "key": number.to_string(),
            "headers": { "Authorization": "Bearer s3cr3t-header" },
        });
        let job = service
            .create_job(&arguments, json!({ "max_retries": 0 }))
            .await;
        let id = job["id"].as_str().unwrap();
        let job = service.wait_for(id, &["failed"]).await;
        let events = service.get(&format!("/jobs/{id}/events")).await;
        let told = [job.to_string(), events.text().await.unwrap()].concat();
        for secret in SECRETS {
            assert!(!told.contains(secret), "{path}: {told}");
        }
    }
    // A secret in the wrong place is not shown either.
    let wrong = json!({ "url": with_secrets("x"), "resource": "r", "headers": "s3cr3t-header" });
    let refused = service
        .post("/jobs", &media_testkit::service::import(&wrong, json!({})))
        .await;
    assert_eq!(refused.status(), 422);
    let refused = refused.text().await.unwrap();
    assert!(service.stop().await.success());
    let log = installation.log();
    assert!(log.contains("not imported"), "{log}");
    for secret in SECRETS {
        assert!(!refused.contains(secret), "{refused}");
        assert!(!log.contains(secret), "{secret} in {log}");
    }
}

#[tokio::test]
async fn a_failed_import_is_retried_with_its_secrets_after_a_restart() {
    const PATH: &str = "/file?token=s3cr3t-query";
    let origin = VerbatimOrigin::start().await;
    origin.add("/file", "HTTP/1.1 404 Not Found\r\nContent-Length: 0", b"");
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let arguments = json!({
        "url": origin.url(PATH), "resource": "r", "headers": { "Authorization": "Bearer s3cr3t-header" },
    });
    let job = service.create_job(&arguments, json!({})).await;
    let id = job["id"].as_str().unwrap();
    service.wait_for(id, &["failed"]).await;
    assert!(service.stop().await.success());
    origin.add_file("/file", "", b"bytes");

    let service = installation.serve().await;
    let answer = service.signal(id, "retry").await;
    assert_eq!(answer.status(), 200);
    let job = service.wait_for(id, &["succeeded", "failed"]).await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    let requests = origin.requests(PATH);
    assert_eq!(requests.len(), 2);
    assert!(requests[1].contains("Bearer s3cr3t-header"), "{requests:?}");
}
