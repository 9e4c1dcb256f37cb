//! `POST /jobs` on PostgreSQL without a worker: the maximum rate, and the latency at half of the target rate.

use std::time::Duration;

use media_testkit::{cluster::Cluster, service::import};
use serde_json::json;

use crate::{
    environment::Environment,
    load::Load,
    measure::{self, Watch},
    measurement::{Measurement, Run, Side, Target, Unit},
};

/// The number of connections.
const CONNECTIONS: usize = 32;
/// The target rate in requests per second.
const TARGET: f64 = 3000.0;

/// Measures rate and latency.
pub(crate) async fn measure(environment: &Environment) -> Vec<Measurement> {
    let cluster = Cluster::start_durable().await;
    let api = cluster.api("api").await;
    let pids = [api.process().pid()];
    let idle = measure::memory_now(&pids);
    let arguments = json!({ "url": cluster.origin.url("tiny"), "resource": "r", "key": "k" });
    let load = Load::post(&api.url("/jobs"), &import(&arguments, json!({})));
    let time = environment.quick_or(Duration::from_secs(2), Duration::from_secs(5));
    let fast = environment
        .repeat(async || {
            let watch = Watch::begin(&pids);
            let (done, took) = load.as_fast_as_it_goes(CONNECTIONS, time).await;
            Run::done(done, took, watch.end())
        })
        .await;
    let waits = environment
        .repeat(async || {
            let watch = Watch::begin(&pids);
            let waits = load.at_rate(TARGET / 2.0, CONNECTIONS, time).await;
            Run::waited(&waits, Some(watch.end()))
        })
        .await;
    let measurement = |name: &str, unit, runs, target| Measurement {
        name: name.to_owned(),
        unit,
        ours: Side::new("media-api", idle, runs),
        baseline: None,
        targets: vec![target],
        note: "",
    };
    vec![
        measurement("POST /jobs", Unit::PerSecond, fast, Target::AtLeast(TARGET)),
        measurement(
            "POST /jobs at 1,500/s: p99",
            Unit::Milliseconds,
            waits,
            Target::AtMost(30.0),
        ),
    ]
}
