//! Shutdown by SIGTERM.

use std::time::Duration;

use media_testkit::{bytes::pattern, cluster::Cluster, integrity::assert_whole, wait_until};
use reqwest::StatusCode;

/// Five seconds at the 4 MB/s of `/slow/`, in bytes.
const SLOW: usize = 20_000_000;

#[tokio::test]
async fn a_worker_releases_unfinished_jobs_without_using_an_attempt() {
    let cluster = Cluster::start().await.with("MEDIA_SHUTDOWN_GRACE", "100ms");
    let api = cluster.api("api").await;
    let first = cluster.worker("worker-1").await;
    cluster.origin.add("file", &pattern(SLOW));
    let job = api.import(&cluster.origin.url("slow/file"), "r").await;
    api.wait_for_bytes(&job, 0).await;
    first.stop();
    let handed_back = api.job(&job).await;
    assert_eq!(handed_back["status"], "pending");
    assert_eq!(handed_back["retry_count"], 0);

    let _second = cluster.worker("worker-2").await;
    let done = api.wait_for(&job, "succeeded").await;
    assert_eq!(done["retry_count"], 0);
    let answer = api.get("/medias/files/r").await;
    assert!(answer.bytes().await.unwrap() == pattern(SLOW));
    assert_whole(&cluster.database_url()).await;
}

#[tokio::test]
async fn a_worker_finishes_jobs_within_the_grace_period() {
    let cluster = Cluster::start().await.with("MEDIA_SHUTDOWN_GRACE", "30s");
    let api = cluster.api("api").await;
    let worker = cluster.worker("worker").await;
    cluster.origin.add("file", &pattern(SLOW / 4));
    let job = api.import(&cluster.origin.url("slow/file"), "r").await;
    api.wait_for(&job, "running").await;
    worker.stop();
    assert_eq!(api.job(&job).await["status"], "succeeded");
}

#[tokio::test]
async fn an_api_finishes_running_downloads() {
    let cluster = Cluster::start().await;
    let api = cluster.api("api").await;
    let _worker = cluster.worker("worker").await;
    cluster.origin.add("file", &pattern(SLOW));
    let job = api.import(&cluster.origin.url("file"), "r").await;
    api.wait_for(&job, "succeeded").await;

    let mut download = api.get("/medias/files/r").await;
    assert_eq!(download.status(), StatusCode::OK);
    let mut bytes = download.chunk().await.unwrap().unwrap().to_vec();
    let pid = api.process().pid().to_string();
    api.process().signal("-TERM");
    wait_until(
        "new connections are refused",
        Duration::from_secs(10),
        async || api.try_get("/livez").await.err(),
    )
    .await;
    while let Some(chunk) = download.chunk().await.unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    assert!(bytes == pattern(SLOW), "{pid}: {} bytes", bytes.len());
}
