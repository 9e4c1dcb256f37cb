//! One large upload by curl, beside `rclone copyto`.

use std::{cell::RefCell, path::Path, time::Instant};

use super::{
    super::{
        measure::{self, Watch},
        row::{Aim, Row, Run, Side, Unit},
        setting::{Scratch, Setting, Standalone, TwoPrograms, new_keys},
        yardstick::{bucket, curl, rclone},
    },
    imports::{Durable, beside_durable},
};
use crate::bytes::write_large;

/// To disk, and to S3.
pub(in super::super) async fn measure(setting: &Setting) -> Vec<Row> {
    let mut rows = to_disk(setting).await;
    rows.push(to_s3(setting).await);
    rows
}

async fn to_disk(setting: &Setting) -> Vec<Row> {
    let (media, source, scratch) = (Standalone::start().await, Scratch::new(), Scratch::new());
    let large = source.file("large");
    write_large(&large, setting.size >> 20);
    let on_disk = RefCell::new(Vec::new());
    let ours = async || {
        let keys = new_keys(1);
        scratch.settle().await;
        let url = media.api.url(&format!("/medias/files/bench/{}", keys[0]));
        let run = upload(setting, &large, &url, &media.pids()).await;
        media.clear(setting, &keys).await;
        run
    };
    let theirs = async || {
        let file = scratch.file("theirs");
        scratch.settle().await;
        let started = Instant::now();
        let arguments = ["copyto", large.to_str().unwrap(), file.to_str().unwrap()];
        let (took, cost) = measure::run(&mut rclone(&arguments, None)).await;
        measure::settle_file(&file).await;
        let run = Run::moved(setting.size, started.elapsed(), cost);
        on_disk.borrow_mut().push(run);
        scratch.clear();
        Run::moved(setting.size, took, cost)
    };
    let (ours, theirs) = setting.alternate(ours, theirs).await;
    beside_durable(Durable {
        name: format!("upload of {} to disk", setting.large()),
        ours: Side::new("media", media.idle, ours),
        yardstick: "rclone copyto",
        theirs,
        // The first one was to warm up.
        on_disk: on_disk.into_inner().split_off(1),
    })
}

async fn to_s3(setting: &Setting) -> Row {
    let (media, source) = (TwoPrograms::start().await, Scratch::new());
    let seaweed = &media.production.seaweed;
    let large = source.file("large");
    write_large(&large, setting.size >> 20);
    let ours = async || {
        let keys = new_keys(1);
        seaweed.vacuum().await;
        source.settle().await;
        let url = media.api.url(&format!("/medias/files/bench/{}", keys[0]));
        let run = upload(setting, &large, &url, &media.pids()).await;
        media.clear(setting, &keys).await;
        run
    };
    let theirs = async || {
        let into = bucket("theirs");
        seaweed.vacuum().await;
        source.settle().await;
        let arguments = ["copyto", large.to_str().unwrap(), &into];
        let (took, cost) = measure::run(&mut rclone(&arguments, Some(seaweed))).await;
        measure::run(&mut rclone(&["deletefile", &into], Some(seaweed))).await;
        Run::moved(setting.size, took, cost)
    };
    let (ours, theirs) = setting.alternate(ours, theirs).await;
    Row {
        name: format!("upload of {} to S3", setting.large()),
        unit: Unit::MegabytesPerSecond,
        ours: Side::new("media-api and media-worker", media.idle, ours),
        yardstick: Some(Side::new("rclone copyto", 0, theirs)),
        aims: vec![Aim::Ratio(1.0)],
        note: "ours is sent by curl, whose memory and processor time are not counted",
    }
}

async fn upload(setting: &Setting, file: &Path, url: &str, pids: &[u32]) -> Run {
    let form = format!("media=@{}", file.display());
    let watch = Watch::begin(pids);
    let (took, _) = measure::run(&mut curl(&["--form", &form, url])).await;
    Run::moved(setting.size, took, watch.end())
}
