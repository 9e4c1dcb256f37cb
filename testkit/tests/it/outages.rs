//! Outages of the dependencies.

use std::time::Duration;

use media_testkit::{bytes::pattern, cluster::Cluster, metrics::Metrics, wait_until};
use reqwest::{StatusCode, header};
use sea_orm::ConnectionTrait as _;
use serde_json::{Value, json};

#[tokio::test]
async fn without_the_database_requests_get_503_until_it_is_back() {
    let mut cluster = Cluster::start().await;
    let api = cluster.api("api").await;
    let worker = cluster.worker("worker").await;
    cluster.origin.add("file", b"bytes");
    let url = cluster.origin.url("file");
    let first = api.import(&url, "before").await;
    api.wait_for(&first, "succeeded").await;

    cluster.postgres.stop();
    api.wait_until_ready(false).await;
    worker.wait_until_ready(false).await;
    let document =
        media_testkit::service::import(&json!({ "url": url, "resource": "meanwhile" }), json!({}));
    let refused = api.try_post("/jobs", &document).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
    let refused: Value = refused.json().await.unwrap();
    assert_eq!(refused["errors"][0]["code"], "unavailable");
    for path in ["/jobs", "/medias", "/medias/info/before"] {
        let refused = api.get(path).await;
        assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE, "{path}");
    }
    assert_eq!(api.get("/livez").await.status(), StatusCode::OK);
    let metrics = api.get("/metrics").await;
    assert_eq!(metrics.status(), StatusCode::OK);
    let metrics = Metrics::read(&metrics.text().await.unwrap());
    assert_eq!(metrics.value("media_database_up", &[]), Some(0.0));

    cluster.postgres.restart();
    api.ready().await;
    worker.ready().await;
    let second = api.import(&url, "after").await;
    api.wait_for(&second, "succeeded").await;
}

#[tokio::test]
async fn jobs_run_without_redis() {
    let mut cluster = Cluster::start().await;
    let api = cluster.api("api").await;
    let _worker = cluster.worker("worker").await;
    cluster.origin.add("file", b"bytes");
    let url = cluster.origin.url("file");

    cluster.redis.kill();
    let job = api.import(&url, "meanwhile").await;
    api.wait_for(&job, "succeeded").await;
    assert_eq!(api.get("/readyz").await.status(), StatusCode::OK);

    // Redis is empty when it is back. The worker reconnects, and takes tickets again.
    cluster.redis.restart().await;
    wait_until("tickets are taken", Duration::from_mins(1), async || {
        let job = api.import(&url, "after").await;
        api.wait_for(&job, "succeeded").await;
        taken_through_redis(&cluster).then_some(())
    })
    .await;

    let before = cluster.redis.commands_processed();
    cluster.redis.command(&["FLUSHALL"]).unwrap();
    wait_until(
        "the worker is there again",
        Duration::from_mins(1),
        async || {
            let job = api.import(&url, "flushed").await;
            api.wait_for(&job, "succeeded").await;
            taken_through_redis(&cluster).then_some(())
        },
    )
    .await;
    assert!(cluster.redis.commands_processed() > before);
}

/// Returns whether a worker is registered and no ticket is pending.
fn taken_through_redis(cluster: &Cluster) -> bool {
    let ask = |command: &[&str]| cluster.redis.command(command).unwrap();
    ask(&["ZCARD", "media-tickets-v1:workers"]) != "0"
        && ask(&["ZCARD", "media-tickets-v1:scheduled"]) == "0"
        && ask(&["LLEN", "media-tickets-v1:active"]) == "0"
}

#[tokio::test]
async fn without_the_object_store_jobs_wait_for_it() {
    let mut cluster = Cluster::start().await;
    let api = cluster.api("api").await;
    let worker = cluster.worker("worker").await;
    cluster.origin.add("file", b"bytes");

    cluster.seaweed.stop();
    api.wait_until_ready(false).await;
    worker.wait_until_ready(false).await;
    // The job has no second attempt: the outage must not use one.
    let arguments = json!({ "url": cluster.origin.url("file"), "resource": "r" });
    let job = api
        .create_job(&arguments, json!({ "max_retries": 0 }))
        .await;
    wait_until(
        "an import was handed back",
        Duration::from_mins(1),
        async || {
            let job = api.job(&job).await;
            (job["status"] == "pending" && !job["started_at"].is_null()).then_some(())
        },
    )
    .await;

    cluster.seaweed.restart().await;
    let job = api.wait_for(&job, "succeeded").await;
    assert_eq!(job["retry_count"], 0);
    let answer = api.get("/medias/files/r").await;
    assert_eq!(answer.bytes().await.unwrap(), "bytes");
}

/// The worker that reconnects first must not take over the jobs of the other one.
#[tokio::test]
async fn a_database_that_is_away_for_longer_than_a_lease_costs_no_attempt() {
    const LEASE: Duration = Duration::from_secs(5);
    let mut cluster = Cluster::start().await.with("MEDIA_LEASE", "5s");
    let api = cluster.api("api").await;
    let _workers = (
        cluster.worker("worker-1").await,
        cluster.worker("worker-2").await,
    );
    cluster.origin.add("file", &pattern(60_000_000));
    let arguments = json!({ "url": cluster.origin.url("slow/file"), "resource": "r" });
    let job = api
        .create_job(&arguments, json!({ "max_retries": 0 }))
        .await;
    // By now both workers have run for longer than a lease.
    api.wait_for_bytes(&job, 24_000_000).await;
    cluster.postgres.stop();
    // Nothing reports the end of the lease while the database is stopped.
    tokio::time::sleep(LEASE + Duration::from_secs(1)).await;
    cluster.postgres.restart();
    let done = api.wait_for(&job, "succeeded").await;
    assert_eq!(done["retry_count"], 0);
}

/// A demoted primary behaves like this on connections that are open.
#[tokio::test]
async fn a_database_that_takes_no_writes_makes_the_programs_unready() {
    let cluster = Cluster::start().await;
    let api = cluster.api("api").await;
    let worker = cluster.worker("worker").await;
    let database = sea_orm::Database::connect(cluster.database_url())
        .await
        .unwrap();
    let set = async |value: &str| {
        let sql = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
        database.execute_unprepared(&sql).await.unwrap();
        let reload = "SELECT pg_reload_conf()";
        database.execute_unprepared(reload).await.unwrap();
    };
    set("on").await;
    api.wait_until_ready(false).await;
    worker.wait_until_ready(false).await;
    let document = media_testkit::service::import(
        &json!({ "url": cluster.origin.url("file"), "resource": "r" }),
        json!({}),
    );
    let refused = api.try_post("/jobs", &document).await.unwrap();
    assert_eq!(refused.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(refused.headers().contains_key(header::RETRY_AFTER));
    assert_eq!(
        api.get("/jobs").await.status(),
        StatusCode::OK,
        "reads go on"
    );
    // `ALTER SYSTEM` is allowed in a read-only session.
    set("off").await;
    api.ready().await;
    worker.ready().await;
    assert_eq!(
        api.try_post("/jobs", &document).await.unwrap().status(),
        StatusCode::CREATED
    );
}
