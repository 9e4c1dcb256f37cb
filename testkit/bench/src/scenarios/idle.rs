//! The cost of an idle worker.

use std::time::{Duration, Instant};

use media_testkit::cluster::Cluster;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};

use crate::{
    environment::Environment,
    measure::{self, Watch},
    measurement::{Measurement, Run, Side, Target, Unit},
};

/// Measures CPU time and statements per second.
pub(crate) async fn measure(environment: &Environment) -> Vec<Measurement> {
    let mut cluster = Cluster::start_durable().await;
    let database = count_statements(&mut cluster).await;
    let worker = cluster.worker("worker").await;
    let pids = [worker.process().pid()];
    let idle = measure::memory_now(&pids);
    let time = environment.quick_or(Duration::from_secs(5), Duration::from_secs(20));
    // The start of the worker does not count.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let (mut processor, mut statements) = (Vec::new(), Vec::new());
    for _ in 0..environment.in_few_runs().runs {
        let before = count(&database).await;
        let (watch, started) = (Watch::begin(&pids), Instant::now());
        tokio::time::sleep(time).await;
        let cost = watch.end();
        let seconds = started.elapsed().as_secs_f64();
        let run = |value: f64| Run {
            value: value / seconds,
            cost: Some(cost),
        };
        processor.push(run(cost.processor.as_secs_f64() * 100.0));
        // Without the statement that counts.
        statements.push(run((count(&database).await - before - 1) as f64));
    }
    let measurement = |name: &str, unit, runs, most| Measurement {
        name: name.to_owned(),
        unit,
        ours: Side::new("media-worker", idle, runs),
        baseline: None,
        targets: vec![Target::AtMost(most)],
        note: "",
    };
    vec![
        measurement("idle worker: CPU time", Unit::PercentOfCore, processor, 0.5),
        measurement(
            "idle worker: SQL statements",
            Unit::StatementsPerSecond,
            statements,
            5.0,
        ),
    ]
}

/// Enables `pg_stat_statements`, which is part of Debian's package.
async fn count_statements(cluster: &mut Cluster) -> DatabaseConnection {
    let connect = async |url| sea_orm::Database::connect(url).await.unwrap();
    let database = connect(cluster.database_url()).await;
    let load = "ALTER SYSTEM SET shared_preload_libraries = 'pg_stat_statements'";
    database.execute_unprepared(load).await.unwrap();
    database.close().await.unwrap();
    cluster.postgres.stop();
    cluster.postgres.restart();
    let database = connect(cluster.database_url()).await;
    let create = "CREATE EXTENSION pg_stat_statements";
    database.execute_unprepared(create).await.unwrap();
    database
}

/// Returns the number of executed statements, including those that begin and end transactions.
async fn count(database: &DatabaseConnection) -> i64 {
    let sql = "SELECT coalesce(sum(calls), 0)::bigint FROM pg_stat_statements WHERE toplevel";
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}
