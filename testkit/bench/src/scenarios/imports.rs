//! One large import from nginx on loopback, beside `rclone copyurl`.

use std::{cell::RefCell, time::Instant};

use media_testkit::nginx::Nginx;

use crate::{
    baseline::{bucket, rclone},
    environment::{Environment, Standalone, TwoPrograms, WorkDirectory, new_keys},
    measure::{self, Watch},
    measurement::{Measurement, Run, Side, Target, Unit},
};

/// To disk: ours is hashed, and on the disk when it has succeeded.
pub(crate) async fn to_disk(environment: &Environment) -> Vec<Measurement> {
    let (nginx, media, directory) = (
        Nginx::start().await,
        Standalone::start().await,
        WorkDirectory::new(),
    );
    let url = nginx.url(environment.add_large(&nginx));
    let on_disk = RefCell::new(Vec::new());
    let ours = async || {
        let keys = new_keys(1);
        directory.settle().await;
        let (watch, started) = (Watch::begin(&media.pids()), Instant::now());
        media.api.import(&url, &keys, 1).await;
        let run = Run::moved(environment.size, started.elapsed(), watch.end());
        media.clear(environment, &keys).await;
        run
    };
    let theirs = async || {
        let file = directory.file("theirs");
        directory.settle().await;
        let started = Instant::now();
        let mut command = rclone(&["copyurl", &url, file.to_str().unwrap()], None);
        let (took, cost) = measure::run(&mut command).await;
        measure::settle_file(&file).await;
        let run = Run::moved(environment.size, started.elapsed(), cost);
        on_disk.borrow_mut().push(run);
        directory.clear();
        Run::moved(environment.size, took, cost)
    };
    let (ours, theirs) = environment.alternate(ours, theirs).await;
    with_and_without_sync(Durable {
        name: format!("{} to disk", environment.large()),
        ours: Side::new("media", media.idle, ours),
        baseline: "rclone copyurl",
        theirs,
        // The first one was to warm up.
        on_disk: on_disk.into_inner().split_off(1),
    })
}

/// What has reached the disk when it ends, beside what has not, which was then waited for.
pub(crate) struct Durable {
    pub(crate) name: String,
    pub(crate) ours: Side,
    pub(crate) baseline: &'static str,
    /// As it is.
    pub(crate) theirs: Vec<Run>,
    /// Until the file is on the disk.
    pub(crate) on_disk: Vec<Run>,
}

/// Two measurements: the baseline as it is, and until its file is on the disk.
pub(crate) fn with_and_without_sync(runs: Durable) -> Vec<Measurement> {
    let Durable {
        name,
        ours,
        baseline,
        theirs,
        on_disk,
    } = runs;
    let measurement = |name, baseline: &str, runs, note| Measurement {
        name,
        unit: Unit::MegabytesPerSecond,
        ours: ours.clone(),
        baseline: Some(Side::new(baseline, 0, runs)),
        targets: vec![Target::Ratio(1.0)],
        note,
    };
    vec![
        measurement(
            name.clone(),
            baseline,
            theirs,
            "ours has reached the disk when it ends, rclone's is in memory yet",
        ),
        measurement(
            name + ", synced",
            &format!("{baseline}; sync"),
            on_disk,
            "rclone's until `sync FILE` has ended",
        ),
    ]
}

/// To S3, by two programs.
pub(crate) async fn to_s3(environment: &Environment) -> Vec<Measurement> {
    let (media, directory) = (TwoPrograms::start().await, WorkDirectory::new());
    let (origin, seaweed) = (&media.cluster.origin, &media.cluster.seaweed);
    let url = origin.url(environment.add_large(origin));
    let ours = async || {
        let keys = new_keys(1);
        seaweed.vacuum().await;
        directory.settle().await;
        let (watch, started) = (Watch::begin(&media.pids()), Instant::now());
        media.api.import(&url, &keys, 1).await;
        let run = Run::moved(environment.size, started.elapsed(), watch.end());
        media.clear(environment, &keys).await;
        run
    };
    let theirs = async || {
        let into = bucket("theirs");
        seaweed.vacuum().await;
        directory.settle().await;
        let mut command = rclone(&["copyurl", &url, &into], Some(seaweed));
        let (took, cost) = measure::run(&mut command).await;
        measure::run(&mut rclone(&["deletefile", &into], Some(seaweed))).await;
        Run::moved(environment.size, took, cost)
    };
    let (ours, theirs) = environment.alternate(ours, theirs).await;
    vec![Measurement {
        name: format!("{} to S3", environment.large()),
        unit: Unit::MegabytesPerSecond,
        ours: Side::new("media-api and media-worker", media.idle, ours),
        baseline: Some(Side::new("rclone copyurl", 0, theirs)),
        targets: vec![Target::Ratio(1.0)],
        note: "",
    }]
}
