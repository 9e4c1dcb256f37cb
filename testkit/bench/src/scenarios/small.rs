//! Small imports, sixteen at a time, posted to the API and waited for. The baseline `rclone rcd` keeps no
//! record of them.

use std::time::Instant;

use futures_util::{StreamExt as _, stream};
use media_testkit::{bytes::pattern, nginx::Nginx};

use crate::{
    api::Api,
    baseline::{Rcd, bucket},
    competitors::{Companion, Directus},
    environment::{Environment, Standalone, TwoPrograms, WorkDirectory, new_keys},
    measure::{self, Watch},
    measurement::{Measurement, Run, Side, Target, Unit},
};

/// The number of concurrent imports.
const CONCURRENCY: usize = 16;
/// The size of each file in bytes.
const FILE_BYTES: usize = 20_000;
/// The divisor of the number of imports by the competitors from npm, which would take minutes.
const COMPETITOR_DIVISOR: usize = 5;

/// Measures imports to S3 by two programs, and to disk by one.
pub(crate) async fn measure(environment: &Environment) -> Vec<Measurement> {
    let mut measurements = to_s3(environment).await;
    measurements.extend(to_disk(environment).await);
    measurements
}

async fn to_s3(environment: &Environment) -> Vec<Measurement> {
    let media = TwoPrograms::start().await;
    let (origin, seaweed) = (&media.cluster.origin, &media.cluster.seaweed);
    let rcd = Rcd::start(Some(seaweed)).await;
    let rcd_idle = measure::memory_now(&[rcd.pid()]);
    origin.add("small", &pattern(FILE_BYTES));
    let url = origin.url("small");
    let ours = async || import(environment, &media.api, &media.pids(), &url).await;
    let theirs = async || copy(environment, &rcd, &url, &bucket("theirs")).await;
    let (ours, theirs) = environment.alternate(ours, theirs).await;
    let measurement = |ours, theirs, target, note| Measurement {
        name: format!("imports of 20 KB, {CONCURRENCY} at a time, to S3"),
        unit: Unit::PerSecond,
        ours: Side::new("media-api and media-worker", media.idle, ours),
        baseline: Some(theirs),
        targets: vec![Target::Ratio(target)],
        note,
    };
    let mut measurements = vec![measurement(
        ours,
        Side::new("rclone rcd", rcd_idle, theirs),
        1.0,
        "",
    )];
    if environment.competitors {
        let companion = Companion::start(seaweed).await;
        let idle = measure::memory_now(&[companion.pid()]);
        let ours = async || import(environment, &media.api, &media.pids(), &url).await;
        let theirs = async || {
            let count = count(environment) / COMPETITOR_DIVISOR;
            let watch = Watch::begin(&[companion.pid()]);
            let (took, _) = measure::run(&mut companion.client(&url, count, CONCURRENCY)).await;
            Run::done(count, took, watch.end())
        };
        let (ours, theirs) = environment.alternate(ours, theirs).await;
        let theirs = Side::new("Uppy Companion", idle, theirs);
        measurements.push(measurement(
            ours,
            theirs,
            5.0,
            "without the CPU time of its client",
        ));
    }
    measurements
}

async fn to_disk(environment: &Environment) -> Vec<Measurement> {
    let (nginx, media, directory, rcd) = (
        Nginx::start().await,
        Standalone::start().await,
        WorkDirectory::new(),
        Rcd::start(None).await,
    );
    let rcd_idle = measure::memory_now(&[rcd.pid()]);
    nginx.add("small", &pattern(FILE_BYTES));
    let url = nginx.url("small");
    let ours = async || {
        directory.sync().await;
        import(environment, &media.api, &media.pids(), &url).await
    };
    let theirs = async || {
        directory.sync().await;
        copy(environment, &rcd, &url, directory.path()).await
    };
    let (ours, theirs) = environment.alternate(ours, theirs).await;
    let measurement = |ours, theirs, target, note| Measurement {
        name: format!("imports of 20 KB, {CONCURRENCY} at a time, to disk"),
        unit: Unit::PerSecond,
        ours: Side::new("media", media.idle, ours),
        baseline: Some(theirs),
        targets: vec![Target::Ratio(target)],
        note,
    };
    let note = "media waits until file and record are on the disk, rclone does not";
    let mut measurements = vec![measurement(
        ours,
        Side::new("rclone rcd", rcd_idle, theirs),
        0.6,
        note,
    )];
    if environment.competitors {
        let directus = Directus::start().await;
        let idle = measure::memory_now(&[directus.pid()]);
        let ours = async || {
            directory.sync().await;
            import(environment, &media.api, &media.pids(), &url).await
        };
        let theirs = async || {
            directory.sync().await;
            let count = count(environment) / COMPETITOR_DIVISOR;
            let (watch, started) = (Watch::begin(&[directus.pid()]), Instant::now());
            stream::iter(0..count)
                .for_each_concurrent(CONCURRENCY, |_| directus.import(&url))
                .await;
            Run::done(count, started.elapsed(), watch.end())
        };
        let (ours, theirs) = environment.alternate(ours, theirs).await;
        measurements.push(measurement(
            ours,
            Side::new("Directus", idle, theirs),
            15.0,
            "",
        ));
    }
    measurements
}

fn count(environment: &Environment) -> usize {
    environment.quick_or(400, 2000)
}

async fn import(environment: &Environment, api: &Api, pids: &[u32], url: &str) -> Run {
    let keys = new_keys(count(environment));
    let (watch, started) = (Watch::begin(pids), Instant::now());
    api.import(url, &keys, CONCURRENCY).await;
    Run::done(keys.len(), started.elapsed(), watch.end())
}

async fn copy(environment: &Environment, rcd: &Rcd, url: &str, into: &str) -> Run {
    let names = new_keys(count(environment));
    let (watch, started) = (Watch::begin(&[rcd.pid()]), Instant::now());
    stream::iter(&names)
        .for_each_concurrent(CONCURRENCY, |name| rcd.copy_url(url, into, name))
        .await;
    Run::done(names.len(), started.elapsed(), watch.end())
}
