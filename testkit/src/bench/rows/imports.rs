//! One large import from nginx on loopback, beside `rclone copyurl`.

use std::{cell::RefCell, time::Instant};

use super::super::{
    measure::{self, Watch},
    row::{Aim, Row, Run, Side, Unit},
    setting::{Scratch, Setting, Standalone, TwoPrograms, new_keys},
    yardstick::{bucket, rclone},
};
use crate::nginx::Nginx;

/// To disk: ours is hashed, and on the disk when it has succeeded.
pub(in super::super) async fn to_disk(setting: &Setting) -> Vec<Row> {
    let (nginx, media, scratch) = (
        Nginx::start().await,
        Standalone::start().await,
        Scratch::new(),
    );
    let url = nginx.url(setting.add_large(&nginx));
    let on_disk = RefCell::new(Vec::new());
    let ours = async || {
        let keys = new_keys(1);
        scratch.settle().await;
        let (watch, started) = (Watch::begin(&media.pids()), Instant::now());
        media.api.import(&url, &keys, 1).await;
        let run = Run::moved(setting.size, started.elapsed(), watch.end());
        media.clear(setting, &keys).await;
        run
    };
    let theirs = async || {
        let file = scratch.file("theirs");
        scratch.settle().await;
        let started = Instant::now();
        let mut command = rclone(&["copyurl", &url, file.to_str().unwrap()], None);
        let (took, cost) = measure::run(&mut command).await;
        measure::settle_file(&file).await;
        let run = Run::moved(setting.size, started.elapsed(), cost);
        on_disk.borrow_mut().push(run);
        scratch.clear();
        Run::moved(setting.size, took, cost)
    };
    let (ours, theirs) = setting.alternate(ours, theirs).await;
    beside_durable(Durable {
        name: format!("{} to disk", setting.large()),
        ours: Side::new("media", media.idle, ours),
        yardstick: "rclone copyurl",
        theirs,
        // The first one was to warm up.
        on_disk: on_disk.into_inner().split_off(1),
    })
}

/// What has reached the disk when it ends, beside what has not, which was then waited for.
pub(super) struct Durable {
    pub(super) name: String,
    pub(super) ours: Side,
    pub(super) yardstick: &'static str,
    /// As it is.
    pub(super) theirs: Vec<Run>,
    /// Until the file is on the disk.
    pub(super) on_disk: Vec<Run>,
}

/// Two rows: the yardstick as it is, and until its file is on the disk.
pub(super) fn beside_durable(runs: Durable) -> Vec<Row> {
    let Durable {
        name,
        ours,
        yardstick,
        theirs,
        on_disk,
    } = runs;
    let row = |name, yardstick: &str, runs, note| Row {
        name,
        unit: Unit::MegabytesPerSecond,
        ours: ours.clone(),
        yardstick: Some(Side::new(yardstick, 0, runs)),
        aims: vec![Aim::Ratio(1.0)],
        note,
    };
    vec![
        row(
            name.clone(),
            yardstick,
            theirs,
            "ours has reached the disk when it ends, rclone's is in memory yet",
        ),
        row(
            name + ", synced",
            &format!("{yardstick}; sync"),
            on_disk,
            "rclone's until `sync FILE` has ended",
        ),
    ]
}

/// To S3, by two programs.
pub(in super::super) async fn to_s3(setting: &Setting) -> Vec<Row> {
    let (media, scratch) = (TwoPrograms::start().await, Scratch::new());
    let (origin, seaweed) = (&media.production.origin, &media.production.seaweed);
    let url = origin.url(setting.add_large(origin));
    let ours = async || {
        let keys = new_keys(1);
        seaweed.vacuum().await;
        scratch.settle().await;
        let (watch, started) = (Watch::begin(&media.pids()), Instant::now());
        media.api.import(&url, &keys, 1).await;
        let run = Run::moved(setting.size, started.elapsed(), watch.end());
        media.clear(setting, &keys).await;
        run
    };
    let theirs = async || {
        let into = bucket("theirs");
        seaweed.vacuum().await;
        scratch.settle().await;
        let mut command = rclone(&["copyurl", &url, &into], Some(seaweed));
        let (took, cost) = measure::run(&mut command).await;
        measure::run(&mut rclone(&["deletefile", &into], Some(seaweed))).await;
        Run::moved(setting.size, took, cost)
    };
    let (ours, theirs) = setting.alternate(ours, theirs).await;
    vec![Row {
        name: format!("{} to S3", setting.large()),
        unit: Unit::MegabytesPerSecond,
        ours: Side::new("media-api and media-worker", media.idle, ours),
        yardstick: Some(Side::new("rclone copyurl", 0, theirs)),
        aims: vec![Aim::Ratio(1.0)],
        note: "",
    }]
}
