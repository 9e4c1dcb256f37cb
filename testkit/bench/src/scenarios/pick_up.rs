//! The latency from the creation of a job to its start by an idle worker.

use std::time::Duration;

use media_testkit::nginx::Nginx;

use crate::{
    api::Api,
    environment::{Environment, Standalone, TwoPrograms, new_keys},
    measurement::{Measurement, Run, Side, Target, Unit},
    queue::pickup_wait,
};

/// Measures two programs with Redis between them, and the service in one process.
pub(crate) async fn measure(environment: &Environment) -> Vec<Measurement> {
    let apart = TwoPrograms::start().await;
    let origin = &apart.cluster.origin;
    let with_redis = waits(environment, &apart.api, origin).await;
    let (nginx, whole) = (Nginx::start().await, Standalone::start().await);
    let within_one = waits(environment, &whole.api, &nginx).await;
    let measurement = |name: &str, side, most| Measurement {
        name: format!("pick-up latency of an idle worker, {name}: p99"),
        unit: Unit::Milliseconds,
        ours: side,
        baseline: None,
        targets: vec![Target::AtMost(most)],
        note: "",
    };
    let apart = Side::new("media-api and media-worker", apart.idle, with_redis);
    let whole = Side::new("media", whole.idle, within_one);
    vec![
        measurement("with Redis", apart, 50.0),
        measurement("in one process", whole, 20.0),
    ]
}

async fn waits(environment: &Environment, api: &Api, nginx: &Nginx) -> Vec<Run> {
    nginx.add("tiny", b"tiny");
    let url = nginx.url("tiny");
    let jobs = environment.quick_or(50, 200);
    let run = async || {
        for number in 0..jobs {
            api.import(&url, &new_keys(1), 1).await;
            // Avoids a fixed phase to the worker's polling interval.
            tokio::time::sleep(Duration::from_millis(number % 23)).await;
        }
        let newest = api.newest_jobs(usize::try_from(jobs).unwrap()).await;
        let waits: Vec<Duration> = newest
            .iter()
            .map(|job| pickup_wait(&job["attributes"]))
            .collect();
        Run::waited(&waits, None)
    };
    environment.repeat(run).await
}
