//! One large upload by curl, beside `rclone copyto`.

use std::{cell::RefCell, path::Path, time::Instant};

use media_testkit::bytes::write_large;

use crate::{
    baseline::{bucket, curl, rclone},
    environment::{Environment, Standalone, TwoPrograms, WorkDirectory, new_keys},
    measure::{self, Watch},
    measurement::{Measurement, Run, Side, Target, Unit},
    scenarios::imports::{Durable, with_and_without_sync},
};

/// Measures an upload to disk, and one to S3.
pub(crate) async fn measure(environment: &Environment) -> Vec<Measurement> {
    let mut measurements = to_disk(environment).await;
    measurements.push(to_s3(environment).await);
    measurements
}

async fn to_disk(environment: &Environment) -> Vec<Measurement> {
    let (media, source, directory) = (
        Standalone::start().await,
        WorkDirectory::new(),
        WorkDirectory::new(),
    );
    let large = source.file("large");
    write_large(&large, environment.size >> 20);
    let on_disk = RefCell::new(Vec::new());
    let ours = async || {
        let keys = new_keys(1);
        directory.sync().await;
        let url = media.api.url(&format!("/medias/files/bench/{}", keys[0]));
        let run = upload(environment, &large, &url, &media.pids()).await;
        media.clear(environment, &keys).await;
        run
    };
    let theirs = async || {
        let file = directory.file("theirs");
        directory.sync().await;
        let started = Instant::now();
        let arguments = ["copyto", large.to_str().unwrap(), file.to_str().unwrap()];
        let (took, cost) = measure::run(&mut rclone(&arguments, None)).await;
        measure::sync_file(&file).await;
        let run = Run::moved(environment.size, started.elapsed(), cost);
        on_disk.borrow_mut().push(run);
        directory.clear();
        Run::moved(environment.size, took, cost)
    };
    let (ours, theirs) = environment.alternate(ours, theirs).await;
    with_and_without_sync(Durable {
        name: format!("upload of {} to disk", environment.large()),
        ours: Side::new("media", media.idle, ours),
        baseline: "rclone copyto",
        theirs,
        // The first run is the warm-up.
        on_disk: on_disk.into_inner().split_off(1),
    })
}

async fn to_s3(environment: &Environment) -> Measurement {
    let (media, source) = (TwoPrograms::start().await, WorkDirectory::new());
    let seaweed = &media.cluster.seaweed;
    let large = source.file("large");
    write_large(&large, environment.size >> 20);
    let ours = async || {
        let keys = new_keys(1);
        seaweed.vacuum().await;
        source.sync().await;
        let url = media.api.url(&format!("/medias/files/bench/{}", keys[0]));
        let run = upload(environment, &large, &url, &media.pids()).await;
        media.clear(environment, &keys).await;
        run
    };
    let theirs = async || {
        let into = bucket("theirs");
        seaweed.vacuum().await;
        source.sync().await;
        let arguments = ["copyto", large.to_str().unwrap(), &into];
        let (took, cost) = measure::run(&mut rclone(&arguments, Some(seaweed))).await;
        measure::run(&mut rclone(&["deletefile", &into], Some(seaweed))).await;
        Run::moved(environment.size, took, cost)
    };
    let (ours, theirs) = environment.alternate(ours, theirs).await;
    Measurement {
        name: format!("upload of {} to S3", environment.large()),
        unit: Unit::MegabytesPerSecond,
        ours: Side::new("media-api and media-worker", media.idle, ours),
        baseline: Some(Side::new("rclone copyto", 0, theirs)),
        targets: vec![Target::Ratio(1.0)],
        note: "sent by curl, whose memory and CPU time are not counted",
    }
}

async fn upload(environment: &Environment, file: &Path, url: &str, pids: &[u32]) -> Run {
    let form = format!("media=@{}", file.display());
    let watch = Watch::begin(pids);
    let (took, _) = measure::run(&mut curl(&["--form", &form, url])).await;
    Run::moved(environment.size, took, watch.end())
}
