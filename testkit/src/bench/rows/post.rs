//! `POST /jobs` on PostgreSQL: how many a second, and how long one takes at half of that. No worker
//! takes them.

use std::time::Duration;

use serde_json::json;

use super::super::{
    load::Load,
    measure::{self, Watch},
    row::{Aim, Row, Run, Side, Unit},
    setting::Setting,
};
use crate::{production::Production, service::import};

/// On how many connections.
const CONNECTIONS: usize = 32;
/// How many a second are aimed at.
const AIM: f64 = 3000.0;

/// Both.
pub(in super::super) async fn measure(setting: &Setting) -> Vec<Row> {
    let production = Production::start_durable().await;
    let api = production.api("api").await;
    let pids = [api.process().pid()];
    let idle = measure::memory_now(&pids);
    let arguments = json!({ "url": production.origin.url("tiny"), "resource": "r", "key": "k" });
    let load = Load::post(&api.url("/jobs"), &import(&arguments, json!({})));
    let time = setting.quick_or(Duration::from_secs(2), Duration::from_secs(5));
    let fast = setting
        .repeat(async || {
            let watch = Watch::begin(&pids);
            let (done, took) = load.as_fast_as_it_goes(CONNECTIONS, time).await;
            Run::done(done, took, watch.end())
        })
        .await;
    let waits = setting
        .repeat(async || {
            let watch = Watch::begin(&pids);
            let waits = load.at_rate(AIM / 2.0, CONNECTIONS, time).await;
            Run::waited(&waits, Some(watch.end()))
        })
        .await;
    let row = |name: &str, unit, runs, aim| Row {
        name: name.to_owned(),
        unit,
        ours: Side::new("media-api", idle, runs),
        yardstick: None,
        aims: vec![aim],
        note: "",
    };
    vec![
        row("POST /jobs", Unit::PerSecond, fast, Aim::AtLeast(AIM)),
        row(
            "POST /jobs, 1,500 a second: p99",
            Unit::Milliseconds,
            waits,
            Aim::AtMost(30.0),
        ),
    ]
}
