//! `GET /jobs` with two filters and a sort on PostgreSQL: on a large table, with a table of a thousand jobs
//! as the baseline.

use media_testkit::cluster::{Cluster, Program};

use crate::{
    environment::Environment,
    load::Load,
    measure::{self, Watch},
    measurement::{Measurement, Run, Side, Target, Unit},
    queue::new_table,
};

/// The query without the size of the page.
const QUERY: &str = "filter[status]=succeeded&filter[priority__gte]=1&sort=-created_at&page[size]=";

/// The number of jobs in the smaller table.
const FEW: usize = 1000;

/// Measures pages of 50 and of 1000 jobs.
pub(crate) async fn measure(environment: &Environment) -> Vec<Measurement> {
    let many = environment.quick_or(100_000, 1_000_000);
    let cluster = Cluster::start_durable().await;
    let (cluster, few) = api_of(cluster, "few", FEW).await;
    let (_cluster, api) = api_of(cluster, "many", many).await;
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
        name: format!("GET /jobs, page of 50 of {many} jobs: p99"),
        unit: Unit::Milliseconds,
        ours: Side::new("media-api", idle, ours),
        baseline: Some(Side::new("same API, 50 of 1000 jobs", few_idle, theirs)),
        // The latency grows by half at most.
        targets: vec![Target::Ratio(0.667)],
        note: "with two filters and a sort",
    };

    let ours = environment
        .repeat(async || ask(&api, 1000, requests / 10).await)
        .await;
    let long = Measurement {
        name: format!("GET /jobs, page of 1000 of {many} jobs: p99"),
        unit: Unit::Milliseconds,
        ours: Side::new("media-api", idle, ours),
        baseline: None,
        targets: vec![Target::AtMost(60.0)],
        note: "",
    };
    vec![page, long]
}

/// Starts an API on a table with this number of jobs, three quarters of which have succeeded.
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
