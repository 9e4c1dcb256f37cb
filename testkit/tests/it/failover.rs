//! A failover of PostgreSQL: the address leads to the former standby, while open connections stay with the
//! former primary, which is read-only.

use std::time::Duration;

use media_testkit::{
    cluster::{Cluster, Program},
    failover_switch::Switch,
    postgres::Postgres,
    service::import,
    wait_until,
};
use reqwest::StatusCode;
use sea_orm::{ConnectOptions, ConnectionTrait as _, DatabaseConnection, Statement};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(30);

async fn connect(server: &Postgres) -> DatabaseConnection {
    let mut options = ConnectOptions::new(server.url("postgres"));
    // One connection, so that it can exclude itself from `pg_stat_activity`.
    options.max_connections(1);
    sea_orm::Database::connect(options).await.unwrap()
}

async fn ask(database: &DatabaseConnection, sql: &str) -> String {
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(statement).await.unwrap();
    row.unwrap().try_get_by_index(0).unwrap()
}

/// Posts an import and returns its id if it was acknowledged.
async fn post(api: &Program, url: &str, key: usize) -> Option<String> {
    let arguments = json!({ "url": url, "resource": "r", "key": key.to_string() });
    let answer = api
        .try_post("/jobs", &import(&arguments, json!({})))
        .await
        .ok()?;
    let is_created = answer.status() == StatusCode::CREATED;
    if !is_created {
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        return None;
    }
    let document: Value = answer.json().await.unwrap();
    document["data"]["id"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_programs_follow_a_failover_without_losing_jobs() {
    let cluster = Cluster::start().await;
    let primary = &cluster.postgres;
    let switch = Switch::start(primary.port()).await;
    let url = format!("postgres://postgres@127.0.0.1:{}/postgres", switch.port());
    let standby = Postgres::start_standby_of(primary);
    let (primary_database, standby_database) = (connect(primary).await, connect(&standby).await);
    cluster.origin.add("file", b"bytes");
    let origin = cluster.origin.url("file");
    let cluster = cluster.with("DATABASE_URL", &url);
    let api = cluster.api("api").await;
    let _worker = cluster.worker("worker").await;

    let mut acknowledged = Vec::new();
    for key in 0..40 {
        acknowledged.extend(post(&api, &origin, key).await);
    }
    // The primary becomes read-only in all sessions, and the standby replays everything.
    primary_database
        .execute_unprepared("ALTER SYSTEM SET default_transaction_read_only = on")
        .await
        .unwrap();
    primary_database
        .execute_unprepared("SELECT pg_reload_conf()")
        .await
        .unwrap();
    api.wait_until_ready(false).await;
    assert_eq!(post(&api, &origin, 40).await, None);
    wait_until("the standby has replayed everything", LIMIT, async || {
        let written = ask(&primary_database, "SELECT pg_current_wal_lsn()::text").await;
        let replayed = ask(&standby_database, "SELECT pg_last_wal_replay_lsn()::text").await;
        (written == replayed).then_some(())
    })
    .await;
    standby.promote();
    switch.switch_to(standby.port());

    api.wait_until_ready(true).await;
    let since = ask(&primary_database, "SELECT now()::text").await;
    for key in 41..80 {
        let id = wait_until("a job is acknowledged", LIMIT, async || {
            post(&api, &origin, key).await
        })
        .await;
        acknowledged.push(id);
    }
    for id in &acknowledged {
        api.wait_for(id, "succeeded").await;
    }
    assert_eq!(acknowledged.len(), 79);
    let sql = "SELECT count(*)::text FROM jobs WHERE status = 'succeeded'";
    assert_eq!(ask(&standby_database, sql).await, "79");
    // The former primary gets no more queries.
    let sql = format!(
        "SELECT coalesce(string_agg(query, '; '), '') FROM pg_stat_activity WHERE datname = 'postgres' \
         AND backend_type = 'client backend' AND pid <> pg_backend_pid() AND query_start > '{since}'"
    );
    assert_eq!(ask(&primary_database, &sql).await, "");
}
