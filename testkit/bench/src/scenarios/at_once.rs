//! Sixteen concurrent large imports, beside `rclone rcd`: throughput and memory.

use std::time::Instant;

use futures_util::future::join_all;
use media_testkit::nginx::Nginx;

use crate::{
    api::Api,
    baseline::{Rcd, bucket, rclone},
    environment::{Environment, Standalone, TwoPrograms, WorkDirectory, new_keys, size_name},
    measure::{self, Watch},
    measurement::{Measurement, Run, Side, Target, Unit},
};

/// The number of concurrent imports.
const IMPORTS: usize = 16;

/// Measures imports to disk, and imports of a quarter of the size to S3, where a larger size changes nothing.
pub(crate) async fn measure(environment: &Environment) -> Vec<Measurement> {
    let environment = environment.in_few_runs();
    let mut measurements = to_disk(&environment).await;
    let quarter = Environment {
        size: environment.size / 4,
        ..environment
    };
    measurements.extend(to_s3(&quarter).await);
    measurements
}

async fn to_disk(environment: &Environment) -> Vec<Measurement> {
    let (nginx, media, directory, rcd) = (
        Nginx::start().await,
        Standalone::start().await,
        WorkDirectory::new(),
        Rcd::start(None).await,
    );
    let url = nginx.url(environment.add_large(&nginx));
    let rcd_idle = measure::memory_now(&[rcd.pid()]);
    let ours = async || {
        let keys = new_keys(IMPORTS);
        directory.sync().await;
        let run = import(environment, &media.api, &media.pids(), &url, &keys).await;
        media.clear(environment, &keys).await;
        run
    };
    let theirs = async || {
        directory.sync().await;
        let run = copy(
            environment,
            &rcd,
            &url,
            directory.path(),
            &new_keys(IMPORTS),
        )
        .await;
        directory.clear();
        run
    };
    let (ours, theirs) = environment.alternate_cold(ours, theirs).await;
    measurements(
        &format!(
            "{IMPORTS} concurrent imports of {} to disk",
            size_name(environment.size)
        ),
        Side::new("media", media.idle, ours),
        Side::new("rclone rcd", rcd_idle, theirs),
    )
}

async fn to_s3(environment: &Environment) -> Vec<Measurement> {
    let (media, directory) = (TwoPrograms::start().await, WorkDirectory::new());
    let (origin, seaweed) = (&media.cluster.origin, &media.cluster.seaweed);
    let rcd = Rcd::start(Some(seaweed)).await;
    let url = origin.url(environment.add_large(origin));
    let rcd_idle = measure::memory_now(&[rcd.pid()]);
    let ours = async || {
        let keys = new_keys(IMPORTS);
        seaweed.vacuum().await;
        directory.sync().await;
        // Only the worker transfers the bytes.
        let run = import(environment, &media.api, &[media.worker()], &url, &keys).await;
        media.api.delete(&keys).await;
        run
    };
    let theirs = async || {
        seaweed.vacuum().await;
        directory.sync().await;
        let into = bucket("theirs");
        let run = copy(environment, &rcd, &url, &into, &new_keys(IMPORTS)).await;
        measure::run(&mut rclone(&["purge", &into], Some(seaweed))).await;
        run
    };
    let (ours, theirs) = environment.alternate_cold(ours, theirs).await;
    measurements(
        &format!(
            "{IMPORTS} concurrent imports of {} to S3",
            size_name(environment.size)
        ),
        Side::new("media-worker", media.worker_idle, ours),
        Side::new("rclone rcd", rcd_idle, theirs),
    )
}

async fn import(
    environment: &Environment,
    api: &Api,
    pids: &[u32],
    url: &str,
    keys: &[String],
) -> Run {
    let (watch, started) = (Watch::begin(pids), Instant::now());
    api.import(url, keys, keys.len()).await;
    let bytes = environment.size * keys.len() as u64;
    Run::moved(bytes, started.elapsed(), watch.end())
}

async fn copy(
    environment: &Environment,
    rcd: &Rcd,
    url: &str,
    into: &str,
    names: &[String],
) -> Run {
    let (watch, started) = (Watch::begin(&[rcd.pid()]), Instant::now());
    join_all(names.iter().map(|name| rcd.copy_url(url, into, name))).await;
    let bytes = environment.size * names.len() as u64;
    Run::moved(bytes, started.elapsed(), watch.end())
}

fn measurements(name: &str, ours: Side, theirs: Side) -> Vec<Measurement> {
    let memory = Measurement {
        name: format!("{name}: memory above idle size"),
        unit: Unit::Mebibytes,
        ours: ours.memory(),
        baseline: Some(theirs.memory()),
        targets: vec![Target::AtMost(64.0), Target::Ratio(1.0)],
        note: "",
    };
    let speed = Measurement {
        name: name.to_owned(),
        unit: Unit::MegabytesPerSecond,
        ours,
        baseline: Some(theirs),
        targets: Vec::new(),
        note: "",
    };
    vec![speed, memory]
}
