//! A worker resumes what another worker has fetched, as if it ran on another machine.

use media_testkit::{
    cluster::{Cluster, PREFIX, Program},
    integrity::assert_whole,
    origin::{Content, RangedOrigin},
};

/// The size of the file in bytes: five parts of an upload.
const SIZE: u64 = 40 << 20;
/// The size of the first three parts in bytes.
const KEPT: u64 = 24 << 20;
const CONTENT: Content = Content::Generated {
    size: SIZE,
    seed: 1,
};

/// Returns a cluster whose workers fetch over one connection, so that the resumed position is known.
async fn cluster() -> Cluster {
    Cluster::start()
        .await
        .with("MEDIA_LEASE", "5s")
        .with("MEDIA_FETCH_CONNECTIONS", "1")
}

/// Starts an import in a worker, and kills it when nearly all bytes have been sent. Returns the id of the
/// job.
async fn kill_late(cluster: &Cluster, api: &Program, origin: &RangedOrigin) -> String {
    let url = origin.add("file", CONTENT);
    let most = SIZE - (1 << 20);
    origin.hold_after(most, 6 << 20);
    let worker = cluster.worker("worker-1").await;
    let job = api.import(&url, "r").await;
    // A checkpoint is written at least every two seconds, and covers all complete parts.
    origin.wait_for_body_bytes(most).await;
    worker.kill();
    origin.release_held();
    job
}

#[tokio::test]
async fn another_worker_resumes_after_a_kill() {
    let cluster = cluster().await;
    let (api, origin) = (cluster.api("api").await, RangedOrigin::start().await);
    let job = kill_late(&cluster, &api, &origin).await;
    let _worker = cluster.worker("worker-2").await;
    let done = api.wait_for(&job, "succeeded").await;
    assert_eq!(done["retry_count"], 1, "{done}");
    let rest = origin.requests().last().cloned().unwrap();
    assert_eq!(rest.status, 206, "{rest:?}");
    assert!(rest.sent <= SIZE - KEPT, "{rest:?}");
    let info: serde_json::Value = api.get("/medias/info/r").await.json().await.unwrap();
    assert_eq!(info["data"]["attributes"]["sha256"], CONTENT.sha256());
    let bytes = api.get("/medias/files/r").await.bytes().await.unwrap();
    assert!(bytes[..] == CONTENT.read(0..SIZE));
    assert_whole(&cluster.database_url()).await;
    let open = cluster.seaweed.open_uploads(PREFIX).await;
    assert_eq!(open, Vec::<String>::new());
}

#[tokio::test]
async fn parts_lost_by_storage_are_fetched_again() {
    let cluster = cluster().await;
    let (api, origin) = (cluster.api("api").await, RangedOrigin::start().await);
    let job = kill_late(&cluster, &api, &origin).await;
    cluster.seaweed.abort_uploads(PREFIX).await;
    let _worker = cluster.worker("worker-2").await;
    api.wait_for(&job, "succeeded").await;
    let last = origin.requests().last().cloned().unwrap();
    assert_eq!((last.status, last.sent), (200, SIZE), "{last:?}");
    let bytes = api.get("/medias/files/r").await.bytes().await.unwrap();
    assert!(bytes[..] == CONTENT.read(0..SIZE));
    assert_whole(&cluster.database_url()).await;
}
