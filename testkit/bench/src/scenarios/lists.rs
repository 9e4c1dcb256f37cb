//! `GET /jobs` with two filters and a sort, on PostgreSQL: a table of many jobs beside one of a thousand.

use media_testkit::cluster::{Cluster, Program};

use crate::{
    environment::Environment,
    load::Load,
    measure::{self, Watch},
    measurement::{Measurement, Run, Side, Target, Unit},
    queue::new_table,
};

/// What is asked for.
const QUERY: &str = "filter[status]=succeeded&filter[priority__gte]=1&sort=-created_at&page[size]=";

/// How many jobs the smaller table has.
const FEW: usize = 1000;

/// A page of 50, and one of 1000.
pub(crate) async fn measure(environment: &Environment) -> Vec<Measurement> {
    let many = environment.quick_or(100_000, 1_000_000);
    let cluster = Cluster::start_durable().await;
    let (cluster, few) = api_of(cluster, "few", FEW).await;
    let (_production, api) = api_of(cluster, "many", many).await;
    let pids = [api.process().pid()];
    let idle = measure::memory_now(&pids);
    let few_idle = measure::memory_now(&[few.process().pid()]);

    let requests = environment.quick_or(200, 1000);
    let (ours, theirs) = environment
        .alternate(
            async || ask(&api, 50, requests).await,
            async || ask(&few, 50, requests).await,
        )
        .await;
    let page = Measurement {
        name: format!("GET /jobs, 50 of {many}: p99"),
        unit: Unit::Milliseconds,
        ours: Side::new("media-api", idle, ours),
        baseline: Some(Side::new("itself, 50 of 1000", few_idle, theirs)),
        // It grows at most 1.5 times.
        targets: vec![Target::Ratio(0.667)],
        note: "with two filters and a sort",
    };

    let ours = environment
        .repeat(async || ask(&api, 1000, requests / 10).await)
        .await;
    let long = Measurement {
        name: format!("GET /jobs, 1000 of {many}: p99"),
        unit: Unit::Milliseconds,
        ours: Side::new("media-api", idle, ours),
        baseline: None,
        targets: vec![Target::AtMost(60.0)],
        note: "",
    };
    vec![page, long]
}

/// An API on a table of so many jobs, three of four of them succeeded.
async fn api_of(cluster: Cluster, name: &str, jobs: usize) -> (Cluster, Program) {
    let table = [
        ("succeeded", jobs / 4 * 3),
        ("failed", jobs / 8),
        ("pending", jobs / 8),
    ];
    new_table(&cluster.postgres, name, &table).await;
    let url = cluster.postgres.url(name);
    let cluster = cluster.with("DATABASE_URL", &url);
    let api = cluster.api(name).await;
    (cluster, api)
}

async fn ask(api: &Program, size: usize, requests: usize) -> Run {
    let load = Load::get(&[api.url(&format!("/jobs?{QUERY}{size}"))]);
    let watch = Watch::begin(&[api.process().pid()]);
    let waits = load.one_by_one(requests).await;
    Run::waited(&waits, Some(watch.end()))
}
