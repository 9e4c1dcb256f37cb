//! One large import from nginx on loopback, beside `rclone copyurl`.

use std::{cell::RefCell, time::Instant};

use media_testkit::nginx::Nginx;

use crate::{
    baseline::{bucket, rclone},
    environment::{Environment, Standalone, TwoPrograms, WorkDirectory, new_keys},
    measure::{self, Watch},
    measurement::{Measurement, Run, Side, Target, Unit},
};

/// Measures an import to disk. The service computes a digest and waits for the disk before the job succeeds.
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
        directory.sync().await;
        let (watch, started) = (Watch::begin(&media.pids()), Instant::now());
        media.api.import(&url, &keys, 1).await;
        let run = Run::moved(environment.size, started.elapsed(), watch.end());
        media.clear(environment, &keys).await;
        run
    };
    let theirs = async || {
        let file = directory.file("theirs");
        directory.sync().await;
        let started = Instant::now();
        let mut command = rclone(&["copyurl", &url, file.to_str().unwrap()], None);
        let (took, cost) = measure::run(&mut command).await;
        measure::sync_file(&file).await;
        let run = Run::moved(environment.size, started.elapsed(), cost);
        on_disk.borrow_mut().push(run);
        directory.clear();
        Run::moved(environment.size, took, cost)
    };
    let (ours, theirs) = environment.alternate(ours, theirs).await;
    with_and_without_sync(Durable {
        name: format!("import of {} to disk", environment.large()),
        ours: Side::new("media", media.idle, ours),
        baseline: "rclone copyurl",
        theirs,
        // The first run is the warm-up.
        on_disk: on_disk.into_inner().split_off(1),
    })
}

/// The runs of a service that waits for the disk, and of a baseline that does not.
pub(crate) struct Durable {
    pub(crate) name: String,
    pub(crate) ours: Side,
    pub(crate) baseline: &'static str,
    /// The runs of the baseline without waiting for the disk.
    pub(crate) theirs: Vec<Run>,
    /// The runs of the baseline until its file is on the disk.
    pub(crate) on_disk: Vec<Run>,
}

/// Returns two measurements: beside the baseline as it is, and beside the baseline until its file is on the
/// disk.
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
            "media waits until the file is on the disk, rclone does not",
        ),
        measurement(
            name + ", on the disk",
            &format!("{baseline}; sync"),
            on_disk,
            "rclone including `sync FILE`",
        ),
    ]
}

/// Measures an import to S3 by two programs.
pub(crate) async fn to_s3(environment: &Environment) -> Vec<Measurement> {
    let (media, directory) = (TwoPrograms::start().await, WorkDirectory::new());
    let (origin, seaweed) = (&media.cluster.origin, &media.cluster.seaweed);
    let url = origin.url(environment.add_large(origin));
    let ours = async || {
        let keys = new_keys(1);
        seaweed.vacuum().await;
        directory.sync().await;
        let (watch, started) = (Watch::begin(&media.pids()), Instant::now());
        media.api.import(&url, &keys, 1).await;
        let run = Run::moved(environment.size, started.elapsed(), watch.end());
        media.clear(environment, &keys).await;
        run
    };
    let theirs = async || {
        let into = bucket("theirs");
        seaweed.vacuum().await;
        directory.sync().await;
        let mut command = rclone(&["copyurl", &url, &into], Some(seaweed));
        let (took, cost) = measure::run(&mut command).await;
        measure::run(&mut rclone(&["deletefile", &into], Some(seaweed))).await;
        Run::moved(environment.size, took, cost)
    };
    let (ours, theirs) = environment.alternate(ours, theirs).await;
    vec![Measurement {
        name: format!("import of {} to S3", environment.large()),
        unit: Unit::MegabytesPerSecond,
        ours: Side::new("media-api and media-worker", media.idle, ours),
        baseline: Some(Side::new("rclone copyurl", 0, theirs)),
        targets: vec![Target::Ratio(1.0)],
        note: "",
    }]
}
