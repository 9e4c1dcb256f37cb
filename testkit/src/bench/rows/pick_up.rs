//! How long a new job waits for an idle worker.

use std::time::Duration;

use super::super::{
    api::Api,
    row::{Aim, Row, Run, Side, Unit},
    setting::{Setting, Standalone, TwoPrograms, new_keys},
};
use crate::nginx::Nginx;

/// With Redis between two programs; and within one.
pub(in super::super) async fn measure(setting: &Setting) -> Vec<Row> {
    let apart = TwoPrograms::start().await;
    let origin = &apart.production.origin;
    let with_redis = waits(setting, &apart.api, origin).await;
    let (nginx, whole) = (Nginx::start().await, Standalone::start().await);
    let within_one = waits(setting, &whole.api, &nginx).await;
    let row = |name: &str, side, most| Row {
        name: format!("an idle worker takes a job, {name}: p99"),
        unit: Unit::Milliseconds,
        ours: side,
        yardstick: None,
        aims: vec![Aim::AtMost(most)],
        note: "",
    };
    let apart = Side::new("media-api and media-worker", apart.idle, with_redis);
    let whole = Side::new("media", whole.idle, within_one);
    vec![row("Redis", apart, 50.0), row("standalone", whole, 20.0)]
}

async fn waits(setting: &Setting, api: &Api, nginx: &Nginx) -> Vec<Run> {
    nginx.add("tiny", b"tiny");
    let url = nginx.url("tiny");
    let jobs = setting.quick_or(50, 200);
    let run = async || {
        for number in 0..jobs {
            api.import(&url, &new_keys(1), 1).await;
            // At no fixed distance from the worker's own rhythm.
            tokio::time::sleep(Duration::from_millis(number % 23)).await;
        }
        let newest = api.newest_jobs(usize::try_from(jobs).unwrap()).await;
        let waits: Vec<Duration> = newest
            .iter()
            .map(|job| super::super::queue::waited(&job["attributes"]))
            .collect();
        Run::waited(&waits, None)
    };
    setting.repeat(run).await
}
