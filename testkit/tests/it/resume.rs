//! What one worker has fetched, another one goes on from, on another machine for all it knows.

use media_testkit::{
    cluster::{Cluster, PREFIX, Program},
    integrity::assert_whole,
    origin::{Content, RangedOrigin},
};

/// Five parts of an upload.
const SIZE: u64 = 40 << 20;
/// The first three of them.
const KEPT: u64 = 24 << 20;
const CONTENT: Content = Content::Generated {
    size: SIZE,
    seed: 1,
};

/// One connection at a time, so that it is known where it was.
async fn cluster() -> Cluster {
    Cluster::start()
        .await
        .with("MEDIA_LEASE", "5s")
        .with("MEDIA_FETCH_CONNECTIONS", "1")
}

/// Has a worker import a file, and kills it when nearly everything has come. Says which job that was.
async fn kill_late(cluster: &Cluster, api: &Program, origin: &RangedOrigin) -> String {
    let url = origin.add("file", CONTENT);
    let most = SIZE - (1 << 20);
    origin.hold_after(most, 6 << 20);
    let worker = cluster.worker("worker-1").await;
    let job = api.import(&url, "r").await;
    // A checkpoint comes at least every two seconds, of the parts that are there by then.
    origin.wait_for_body_bytes(most).await;
    worker.kill();
    origin.let_go();
    job
}

#[tokio::test]
async fn another_worker_goes_on_where_a_killed_one_was() {
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
async fn parts_that_storage_has_lost_are_fetched_anew() {
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
