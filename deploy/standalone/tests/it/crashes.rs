//! Recovery of killed and stopped imports.

use std::time::Duration;

use media_testkit::{
    bytes::same_bytes, integrity::assert_file_whole, nginx::Nginx, service::Installation,
    wait_until,
};
use serde_json::Value;

use crate::fixture::{MEDIA, begin_slow_import};

async fn finish(installation: &Installation, nginx: &Nginx, id: &str) -> Value {
    let service = installation.serve().await;
    let job = service.wait_for(id, &["succeeded", "failed"]).await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    installation.wait_for_stored_files(1).await;
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
    let id = begin_slow_import(&service, &nginx, 12).await;
    service.kill().await;
    assert_eq!(installation.stored_files().len(), 1, "half a file is there");

    let job = finish(&installation, &nginx, &id).await;
    assert_eq!(job["attributes"]["retry_count"], 1);
}

#[tokio::test]
async fn a_stopped_service_releases_its_imports_without_using_an_attempt() {
    let nginx = Nginx::start().await;
    let installation = Installation::new(MEDIA)
        .with("MEDIA_LEASE", "5s")
        .with("MEDIA_SHUTDOWN_GRACE", "100ms");
    let service = installation.serve().await;
    let id = begin_slow_import(&service, &nginx, 12).await;
    assert!(service.stop().await.success());
    assert_eq!(
        installation.stored_files().len(),
        0,
        "nothing half done stays behind"
    );

    let job = finish(&installation, &nginx, &id).await;
    assert_eq!(job["attributes"]["retry_count"], 0);
}

#[tokio::test]
async fn deleting_a_running_job_stops_it_within_two_seconds() {
    let nginx = Nginx::start().await;
    let installation = Installation::new(MEDIA).with("MEDIA_LEASE", "5s");
    let service = installation.serve().await;
    let id = begin_slow_import(&service, &nginx, 12).await;
    let path = service.url(&format!("/jobs/{id}"));
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
