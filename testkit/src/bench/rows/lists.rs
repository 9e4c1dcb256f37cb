//! `GET /jobs` with two filters and a sort, on PostgreSQL: a table of many jobs beside one of a thousand.

use super::super::{
    load::Load,
    measure::{self, Watch},
    queue::new_table,
    row::{Aim, Row, Run, Side, Unit},
    setting::Setting,
};
use crate::production::{Production, Program};

/// What is asked for.
const QUERY: &str = "filter[status]=succeeded&filter[priority__gte]=1&sort=-created_at&page[size]=";

/// How many jobs the smaller table has.
const FEW: usize = 1000;

/// A page of 50, and one of 1000.
pub(in super::super) async fn measure(setting: &Setting) -> Vec<Row> {
    let many = setting.quick_or(100_000, 1_000_000);
    let production = Production::start_durable().await;
    let (production, few) = api_of(production, "few", FEW).await;
    let (_production, api) = api_of(production, "many", many).await;
    let pids = [api.process().pid()];
    let idle = measure::memory_now(&pids);
    let few_idle = measure::memory_now(&[few.process().pid()]);

    let requests = setting.quick_or(200, 1000);
    let (ours, theirs) = setting
        .alternate(
            async || ask(&api, 50, requests).await,
            async || ask(&few, 50, requests).await,
        )
        .await;
    let page = Row {
        name: format!("GET /jobs, 50 of {many}: p99"),
        unit: Unit::Milliseconds,
        ours: Side::new("media-api", idle, ours),
        yardstick: Some(Side::new("itself, 50 of 1000", few_idle, theirs)),
        // It grows at most 1.5 times.
        aims: vec![Aim::Ratio(0.667)],
        note: "with two filters and a sort",
    };

    let ours = setting
        .repeat(async || ask(&api, 1000, requests / 10).await)
        .await;
    let long = Row {
        name: format!("GET /jobs, 1000 of {many}: p99"),
        unit: Unit::Milliseconds,
        ours: Side::new("media-api", idle, ours),
        yardstick: None,
        aims: vec![Aim::AtMost(60.0)],
        note: "",
    };
    vec![page, long]
}

/// An API on a table of so many jobs, three of four of them succeeded.
async fn api_of(production: Production, name: &str, jobs: usize) -> (Production, Program) {
    let table = [
        ("succeeded", jobs / 4 * 3),
        ("failed", jobs / 8),
        ("pending", jobs / 8),
    ];
    new_table(&production.postgres, name, &table).await;
    let url = production.postgres.url(name);
    let production = production.with("DATABASE_URL", &url);
    let api = production.api(name).await;
    (production, api)
}

async fn ask(api: &Program, size: usize, requests: usize) -> Run {
    let load = Load::get(&[api.url(&format!("/jobs?{QUERY}{size}"))]);
    let watch = Watch::begin(&[api.process().pid()]);
    let waits = load.one_by_one(requests).await;
    Run::waited(&waits, Some(watch.end()))
}
