//! Workers start and stop under load.

use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use media_testkit::{bytes::pattern, cluster::Cluster, integrity::assert_whole, wait_until};
use serde_json::{Value, json};

const JOBS: usize = 300;
const LIMIT: Duration = Duration::from_mins(2);

#[tokio::test]
async fn workers_that_start_and_stop_under_load_lose_nothing() {
    let cluster = Cluster::start().await.with("MEDIA_SHUTDOWN_GRACE", "2s");
    cluster.origin.add("file", &pattern(300_000));
    let url = cluster.origin.url("slow/file");
    let api = cluster.api("api").await;
    let first = cluster.worker("worker-1").await;
    let post = stream::iter(0..JOBS).for_each_concurrent(8, async |number| {
        let arguments = json!({ "url": url, "resource": "r", "key": number.to_string() });
        api.create_job(&arguments, json!({ "max_retries": 0 }))
            .await;
    });
    let done = async || {
        let path = "/jobs?filter[status]=succeeded&count=true&page[size]=1";
        let document: Value = api.get(path).await.json().await.unwrap();
        usize::try_from(document["meta"]["count"].as_u64().unwrap()).unwrap()
    };
    let until = async |count| {
        let what = format!("{count} jobs are done");
        wait_until(&what, LIMIT, async || (done().await >= count).then_some(())).await;
    };
    let scale = async {
        until(20).await;
        let second = cluster.worker("worker-2").await;
        let third = cluster.worker("worker-3").await;
        until(100).await;
        // Both workers stop in the middle of imports.
        for worker in [first, third] {
            tokio::task::spawn_blocking(|| worker.stop()).await.unwrap();
        }
        until(200).await;
        (second, cluster.worker("worker-4").await)
    };
    let ((), _left) = tokio::join!(post, scale);
    until(JOBS).await;
    let tried: Value = api
        .get("/jobs?filter[retry_count__gte]=1&page[size]=1")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(tried["data"], json!([]), "no attempt was spent");
    let kept: Value = api
        .get("/medias?count=true&page[size]=1&filter[size]=300000")
        .await
        .json()
        .await
        .unwrap();
    assert_eq!(kept["meta"]["count"], JOBS);
    assert_whole(&cluster.database_url()).await;
}
