//! What is killed in the middle goes on, and what is stopped is handed back.

use std::time::Duration;

use media_testkit::{
    bytes::{same_bytes, write_large},
    integrity::assert_file_whole,
    nginx::Nginx,
    service::{Installation, Service},
    wait_until,
};
use serde_json::{Value, json};

use crate::MEDIA;

async fn begin(service: &Service, nginx: &Nginx) -> Value {
    write_large(&nginx.path("large"), 12);
    let arguments = json!({ "url": nginx.url("slow/large"), "resource": "large" });
    let job = service.enter(&arguments, json!({})).await;
    let id = job["id"].as_str().unwrap();
    wait_until("bytes have come", Duration::from_secs(20), async || {
        let job = service.job(id).await;
        (job["attributes"]["bytes_done"].as_u64().unwrap() > 0).then_some(job)
    })
    .await
}

async fn finish(installation: &Installation, nginx: &Nginx, id: &str) -> Value {
    let service = installation.serve().await;
    let job = service.wait_for(id, &["succeeded", "failed"]).await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    wait_until(
        "only the media's bytes are left",
        Duration::from_secs(30),
        async || (installation.stored_files().len() == 1).then_some(()),
    )
    .await;
    assert!(same_bytes(
        &installation.stored_files()[0],
        &nginx.path("large")
    ));
    assert_file_whole(&installation.database()).await;
    job
}

#[tokio::test]
async fn a_killed_import_is_rescued_and_succeeds() {
    let nginx = Nginx::start().await;
    let installation = Installation::new(MEDIA).with("MEDIA_LEASE", "5s");
    let service = installation.serve().await;
    let job = begin(&service, &nginx).await;
    service.kill().await;
    assert_eq!(installation.stored_files().len(), 1, "half a file is there");

    let job = finish(&installation, &nginx, job["id"].as_str().unwrap()).await;
    assert_eq!(job["attributes"]["retry_count"], 1);
}

#[tokio::test]
async fn a_stopped_service_hands_its_imports_back_without_spending_an_attempt() {
    let nginx = Nginx::start().await;
    let installation = Installation::new(MEDIA)
        .with("MEDIA_LEASE", "5s")
        .with("MEDIA_SHUTDOWN_GRACE", "100ms");
    let service = installation.serve().await;
    let job = begin(&service, &nginx).await;
    assert!(service.stop().await.success());
    assert_eq!(
        installation.stored_files().len(),
        0,
        "nothing half done stays behind"
    );

    let job = finish(&installation, &nginx, job["id"].as_str().unwrap()).await;
    assert_eq!(job["attributes"]["retry_count"], 0);
}

#[tokio::test]
async fn deleting_a_running_job_stops_it_within_two_seconds() {
    let nginx = Nginx::start().await;
    let installation = Installation::new(MEDIA).with("MEDIA_LEASE", "5s");
    let service = installation.serve().await;
    let job = begin(&service, &nginx).await;
    let path = service.url(&format!("/jobs/{}", job["id"].as_str().unwrap()));
    let deleted = service.http.delete(path).send().await.unwrap();
    assert_eq!(deleted.status(), 204);
    wait_until(
        "the import has stopped",
        Duration::from_secs(2),
        async || installation.stored_files().is_empty().then_some(()),
    )
    .await;
    assert_eq!(service.get("/medias/info/large").await.status(), 404);
    assert_file_whole(&installation.database()).await;
}
