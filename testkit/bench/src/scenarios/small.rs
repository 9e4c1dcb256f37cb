//! Small imports, sixteen at once, posted over the API and waited for; beside `rclone rcd`, which keeps
//! no record of them.

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

/// How many at once.
const AT_ONCE: usize = 16;
/// How many bytes each has.
const SIZE: usize = 20_000;
/// What comes from npm gets so many times fewer: it would take minutes.
const SLOWER: usize = 5;

/// To S3, by two programs; and to disk, by one.
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
    origin.add("small", &pattern(SIZE));
    let url = origin.url("small");
    let ours = async || import(environment, &media.api, &media.pids(), &url).await;
    let theirs = async || copy(environment, &rcd, &url, &bucket("theirs")).await;
    let (ours, theirs) = environment.alternate(ours, theirs).await;
    let measurement = |ours, theirs, target, note| Measurement {
        name: format!("20 KB, {AT_ONCE} at once, to S3"),
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
            let count = count(environment) / SLOWER;
            let watch = Watch::begin(&[companion.pid()]);
            let (took, _) = measure::run(&mut companion.client(&url, count, AT_ONCE)).await;
            Run::done(count, took, watch.end())
        };
        let (ours, theirs) = environment.alternate(ours, theirs).await;
        let theirs = Side::new("Uppy Companion", idle, theirs);
        measurements.push(measurement(
            ours,
            theirs,
            5.0,
            "its client's own processor time is not counted",
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
    nginx.add("small", &pattern(SIZE));
    let url = nginx.url("small");
    let ours = async || {
        directory.settle().await;
        import(environment, &media.api, &media.pids(), &url).await
    };
    let theirs = async || {
        directory.settle().await;
        copy(environment, &rcd, &url, directory.path()).await
    };
    let (ours, theirs) = environment.alternate(ours, theirs).await;
    let measurement = |ours, theirs, target, note| Measurement {
        name: format!("20 KB, {AT_ONCE} at once, to disk"),
        unit: Unit::PerSecond,
        ours: Side::new("media", media.idle, ours),
        baseline: Some(theirs),
        targets: vec![Target::Ratio(target)],
        note,
    };
    let note = "ours and its record have reached the disk, rclone's is in memory yet";
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
            directory.settle().await;
            import(environment, &media.api, &media.pids(), &url).await
        };
        let theirs = async || {
            directory.settle().await;
            let count = count(environment) / SLOWER;
            let (watch, started) = (Watch::begin(&[directus.pid()]), Instant::now());
            stream::iter(0..count)
                .for_each_concurrent(AT_ONCE, |_| directus.import(&url))
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
    api.import(url, &keys, AT_ONCE).await;
    Run::done(keys.len(), started.elapsed(), watch.end())
}

async fn copy(environment: &Environment, rcd: &Rcd, url: &str, into: &str) -> Run {
    let names = new_keys(count(environment));
    let (watch, started) = (Watch::begin(&[rcd.pid()]), Instant::now());
    stream::iter(&names)
        .for_each_concurrent(AT_ONCE, |name| rcd.copy_url(url, into, name))
        .await;
    Run::done(names.len(), started.elapsed(), watch.end())
}
