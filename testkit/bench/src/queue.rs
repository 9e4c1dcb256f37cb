//! Measurements of the queue alone.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use futures_util::{StreamExt as _, future::join_all, stream};
use media_database::{
    Database, DatabaseUrl, Pooler,
    job_repository::{Claims, JobRepository, SlotUse},
};
use media_domain::{
    clock::Clock,
    ids::WorkerId,
    job::{KnownClass, MediaImport},
    secret::Secret,
};
use media_testkit::{
    cluster::{Cluster, Program},
    metrics::Metrics,
    pgbouncer::PgBouncer,
    postgres::Postgres,
    service::import,
};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};
use serde_json::{Value, json};

use crate::measure::processor_time;

/// The number of concurrent claims of each worker.
const CLAIMERS: usize = 4;
/// The size of the connection pool of each worker.
const CONNECTIONS: u32 = 8;
/// The number of measured claims.
const CLAIMS: usize = 4000;
const KNOWN: [KnownClass; 1] = [KnownClass::of::<MediaImport>()];

/// Prints claims per second: by the number of workers, by the number of pending jobs, and by the other jobs
/// in the table. PostgreSQL is as durable as in production.
pub async fn claims() {
    let server = Postgres::start_durable();
    println!("{:<52} {:>10}", "table", "claims/s");
    for workers in [1, 2, 4] {
        let name = format!("100,000 pending, {workers} workers of {CLAIMERS}");
        measure_claims(&server, &name, workers, &[("pending", 100_000)]).await;
    }
    for pending in [1000, 10_000, 100_000, 1_000_000] {
        let name = format!("{pending} pending, 2 workers");
        measure_claims(&server, &name, 2, &[("pending", pending)]).await;
    }
    for beside in ["scheduled", "succeeded"] {
        let name = format!("100,000 pending beside 1,000,000 {beside}, 2 workers");
        let table = [("pending", 100_000), (beside, 1_000_000)];
        measure_claims(&server, &name, 2, &table).await;
    }
    let pooler = PgBouncer::start(&server);
    new_table(&server, "pooled", &[("pending", 100_000)]).await;
    let rate = claim_rate_at(&pooler_url(&pooler, "pooled"), 2, CLAIMS).await;
    println!(
        "{:<52} {rate:>10.0}",
        "100,000 pending, 2 workers, behind PgBouncer"
    );
}

async fn measure_claims(server: &Postgres, name: &str, workers: usize, table: &[(&str, usize)]) {
    new_table(server, "bench", table).await;
    let claims = CLAIMS.min(table[0].1 * 9 / 10);
    let rate = claim_rate(server, "bench", workers, claims).await;
    println!("{name:<52} {rate:>10.0}");
}

/// Creates or replaces a database with this number of jobs of each status.
pub(crate) async fn new_table(server: &Postgres, name: &str, table: &[(&str, usize)]) {
    let admin = sea_orm::Database::connect(server.url("postgres"))
        .await
        .unwrap();
    for sql in ["DROP DATABASE IF EXISTS", "CREATE DATABASE"] {
        let sql = format!("{sql} {name}");
        admin.execute_unprepared(&sql).await.unwrap();
    }
    admin.close().await.unwrap();
    let url = server_url(server, name);
    let database = Database::connect(&url, CONNECTIONS).await.unwrap();
    let connection = database.direct_connection().await.unwrap();
    media_migrations::migrate_up(&connection).await.unwrap();
    for (status, count) in table {
        fill(&connection, status, *count).await;
    }
    // On a table that grew to this size over time, autovacuum would have run.
    for sql in ["VACUUM ANALYZE jobs", "CHECKPOINT"] {
        connection.execute_unprepared(sql).await.unwrap();
    }
    connection.close().await.unwrap();
    database.close().await.unwrap();
}

/// Returns the number of claims per second of this number of workers, measured over `claims` claims.
pub(crate) async fn claim_rate(
    server: &Postgres,
    name: &str,
    workers: usize,
    claims: usize,
) -> f64 {
    claim_rate_at(&server_url(server, name), workers, claims).await
}

async fn claim_rate_at(url: &DatabaseUrl, workers: usize, claims: usize) -> f64 {
    let left = Arc::new(AtomicUsize::new(claims));
    let mut claimers = Vec::new();
    let mut pools = Vec::new();
    for _ in 0..workers {
        let pool = Database::connect(url, CONNECTIONS).await.unwrap();
        let worker = WorkerId::generate();
        let repository = JobRepository::new(pool.clone(), Clock::system(), Duration::from_mins(10));
        let claims = repository.claims(worker, &KNOWN);
        for _ in 0..CLAIMERS {
            claimers.push(tokio::spawn(claim(claims.clone(), Arc::clone(&left))));
        }
        pools.push(pool);
    }
    let started = Instant::now();
    for claimer in join_all(claimers).await {
        claimer.unwrap();
    }
    let rate = claims as f64 / started.elapsed().as_secs_f64();
    for pool in pools {
        pool.close().await.unwrap();
    }
    rate
}

/// Claims jobs one after the other, as the slots of a worker do. Concurrent claims share a statement.
async fn claim(claims: Claims, left: Arc<AtomicUsize>) {
    let take = |left: usize| left.checked_sub(1);
    while left
        .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
        .is_ok()
    {
        claims.next(SlotUse::AnyProject).await.unwrap().unwrap();
    }
}

fn server_url(server: &Postgres, name: &str) -> DatabaseUrl {
    DatabaseUrl::Postgres {
        url: Secret::new(server.url(name)),
        pooler: Pooler::None,
    }
}

fn pooler_url(pooler: &PgBouncer, name: &str) -> DatabaseUrl {
    DatabaseUrl::Postgres {
        url: Secret::new(pooler.url(name)),
        pooler: Pooler::Transaction,
    }
}

async fn fill(database: &DatabaseConnection, status: &str, count: usize) {
    let (finished, scheduled) = match status {
        "succeeded" | "failed" => ("now()", "NULL"),
        "scheduled" => ("NULL", "now() + interval '1 day'"),
        _ => ("NULL", "NULL"),
    };
    // Creation times start an hour ago with a thousand jobs per millisecond; the ids are in the same order,
    // as in UUIDv7.
    let sql = format!(
        "INSERT INTO jobs (id, job_class, priority, status, max_retries, scheduled_at, finished_at, \
           arguments_version, arguments, created_at, updated_at) \
         SELECT (lpad(to_hex((extract(epoch FROM now()) * 1000)::bigint - 3600000 + n / 1000), 12, '0') \
             || '7' || lpad(to_hex(n % 4096), 3, '0') || '8' || substr(md5(n::text || '{status}'), 1, 15))::uuid, \
           'media:import', n % 5 - 2, '{status}', 5, {scheduled}, {finished}, 1, \
           '{{\"url\": \"https://origin.example/a\", \"resource\": \"r\"}}', \
           now() - interval '1 hour' + n * interval '1 microsecond', now() \
         FROM generate_series(1, {count}) n"
    );
    database.execute_unprepared(&sql).await.unwrap();
}

/// Prints the pick-up latency of an idle worker, and its cost.
pub async fn pickup(idle: Duration) {
    for redis in [true, false] {
        let cluster = Cluster::start().await;
        let cluster = if redis {
            cluster
        } else {
            cluster.with("REDIS_URL", "")
        };
        let api = cluster.api("api").await;
        let worker = cluster.worker("worker").await;
        let with = if redis { "with Redis" } else { "without Redis" };
        println!("{with}: pick-up {}", waits(&api, &cluster, redis).await);
        println!("{with}: idle {}", idleness(&worker, &cluster, idle).await);
    }
}

async fn waits(api: &Program, cluster: &Cluster, redis: bool) -> String {
    let jobs = if redis { 400 } else { 60 };
    let url = cluster.origin.url("missing");
    let mut waits = Vec::new();
    for number in 0..jobs {
        let id = api.import(&url, "r").await;
        let job = api.wait_for(&id, "failed").await;
        waits.push(pickup_wait(&job));
        // Avoids a fixed phase to the worker's polling interval.
        tokio::time::sleep(Duration::from_millis(number % 23)).await;
    }
    waits.sort_unstable();
    let at = |percent: usize| waits[(waits.len() - 1) * percent / 100];
    format!(
        "p50 {:.1?}, p90 {:.1?}, p99 {:.1?}, of {jobs} jobs",
        at(50),
        at(90),
        at(99)
    )
}

/// Returns the time between the creation and the start of a job.
pub(crate) fn pickup_wait(job: &Value) -> Duration {
    let time = |name: &str| -> DateTime<Utc> { job[name].as_str().unwrap().parse().unwrap() };
    (time("started_at") - time("created_at"))
        .to_std()
        .unwrap_or_default()
}

async fn idleness(worker: &Program, cluster: &Cluster, time: Duration) -> String {
    let database = sea_orm::Database::connect(cluster.database_url())
        .await
        .unwrap();
    let worker = [worker.process().pid()];
    let before = (
        processor_time(&worker),
        cluster.redis.commands_processed(),
        transactions(&database).await,
    );
    tokio::time::sleep(time).await;
    let seconds = time.as_secs_f64();
    let processor = processor_time(&worker)
        .saturating_sub(before.0)
        .as_secs_f64()
        / seconds
        * 100.0;
    let commands = (cluster.redis.commands_processed() - before.1) as f64 / seconds;
    let transactions = (transactions(&database).await - before.2) as f64 / seconds;
    format!(
        "{processor:.2} % of a core, {commands:.0} commands/s to Redis, \
         {transactions:.1} transactions/s on PostgreSQL (all clients)"
    )
}

async fn transactions(database: &DatabaseConnection) -> i64 {
    let sql = "SELECT pg_stat_clear_snapshot(), sum(xact_commit)::bigint FROM pg_stat_database";
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(1).unwrap()
}

/// Prints the memory of Redis before, during and after many jobs.
pub async fn redis_memory(jobs: usize) {
    let cluster = Cluster::start().await;
    let api = cluster.api("api").await;
    let _worker = cluster.worker("worker").await;
    let document = import(
        &json!({ "url": cluster.origin.url("missing"), "resource": "r" }),
        json!({}),
    );
    post(&api, &document, 100).await;
    let before = cluster.redis.memory();
    println!("before: {before} bytes");
    let started = Instant::now();
    let mut most = before;
    for _ in 0..10 {
        post(&api, &document, jobs / 10).await;
        most = most.max(cluster.redis.memory());
    }
    println!("posted in {:.0?}; at most {most} bytes", started.elapsed());
    media_testkit::wait_until("all jobs ended", Duration::from_mins(20), async || {
        let metrics = api.get("/metrics").await.text().await.unwrap();
        let class = [("class", "media:import")];
        let pending = Metrics::read(&metrics).value("media_jobs_pending", &class);
        (pending == Some(0.0)).then_some(())
    })
    .await;
    let after = cluster.redis.memory();
    println!("all ended after {:.0?}: {after} bytes", started.elapsed());
    println!("keys: {}", cluster.redis.command(&["DBSIZE"]).unwrap());
}

async fn post(api: &Program, document: &Value, count: usize) {
    stream::iter(0..count)
        .for_each_concurrent(16, |_| async {
            let answer = api.try_post("/jobs", document).await.unwrap();
            assert!(answer.status().is_success());
        })
        .await;
}
