//! Sixteen large imports at once, beside `rclone rcd`: how fast, and in how much memory.

use std::time::Instant;

use futures_util::future::join_all;

use super::super::{
    api::Api,
    measure::{self, Watch},
    row::{Aim, Row, Run, Side, Unit},
    setting::{Scratch, Setting, Standalone, TwoPrograms, new_keys, size_name},
    yardstick::{Rcd, bucket, rclone},
};
use crate::nginx::Nginx;

/// How many.
const IMPORTS: usize = 16;

/// To disk; and to S3, where a quarter of the size has to do: nothing there depends on more.
pub(in super::super) async fn measure(setting: &Setting) -> Vec<Row> {
    let setting = setting.in_few_runs();
    let mut rows = to_disk(&setting).await;
    let quarter = Setting {
        size: setting.size / 4,
        ..setting
    };
    rows.extend(to_s3(&quarter).await);
    rows
}

async fn to_disk(setting: &Setting) -> Vec<Row> {
    let (nginx, media, scratch, rcd) = (
        Nginx::start().await,
        Standalone::start().await,
        Scratch::new(),
        Rcd::start(None).await,
    );
    let url = nginx.url(setting.add_large(&nginx));
    let rcd_idle = measure::memory_now(&[rcd.pid()]);
    let ours = async || {
        let keys = new_keys(IMPORTS);
        scratch.settle().await;
        let run = import(setting, &media.api, &media.pids(), &url, &keys).await;
        media.clear(setting, &keys).await;
        run
    };
    let theirs = async || {
        scratch.settle().await;
        let run = copy(setting, &rcd, &url, scratch.path(), &new_keys(IMPORTS)).await;
        scratch.clear();
        run
    };
    let (ours, theirs) = setting.alternate_cold(ours, theirs).await;
    rows(
        &format!("{IMPORTS} × {} to disk at once", size_name(setting.size)),
        Side::new("media", media.idle, ours),
        Side::new("rclone rcd", rcd_idle, theirs),
    )
}

async fn to_s3(setting: &Setting) -> Vec<Row> {
    let (media, scratch) = (TwoPrograms::start().await, Scratch::new());
    let (origin, seaweed) = (&media.production.origin, &media.production.seaweed);
    let rcd = Rcd::start(Some(seaweed)).await;
    let url = origin.url(setting.add_large(origin));
    let rcd_idle = measure::memory_now(&[rcd.pid()]);
    let ours = async || {
        let keys = new_keys(IMPORTS);
        seaweed.vacuum().await;
        scratch.settle().await;
        // The bytes go through the worker alone.
        let run = import(setting, &media.api, &[media.worker()], &url, &keys).await;
        media.api.delete(&keys).await;
        run
    };
    let theirs = async || {
        seaweed.vacuum().await;
        scratch.settle().await;
        let into = bucket("theirs");
        let run = copy(setting, &rcd, &url, &into, &new_keys(IMPORTS)).await;
        measure::run(&mut rclone(&["purge", &into], Some(seaweed))).await;
        run
    };
    let (ours, theirs) = setting.alternate_cold(ours, theirs).await;
    rows(
        &format!("{IMPORTS} × {} to S3 at once", size_name(setting.size)),
        Side::new("media-worker", media.worker_idle, ours),
        Side::new("rclone rcd", rcd_idle, theirs),
    )
}

async fn import(setting: &Setting, api: &Api, pids: &[u32], url: &str, keys: &[String]) -> Run {
    let (watch, started) = (Watch::begin(pids), Instant::now());
    api.import(url, keys, keys.len()).await;
    let bytes = setting.size * keys.len() as u64;
    Run::moved(bytes, started.elapsed(), watch.end())
}

async fn copy(setting: &Setting, rcd: &Rcd, url: &str, into: &str, names: &[String]) -> Run {
    let (watch, started) = (Watch::begin(&[rcd.pid()]), Instant::now());
    join_all(names.iter().map(|name| rcd.copy_url(url, into, name))).await;
    let bytes = setting.size * names.len() as u64;
    Run::moved(bytes, started.elapsed(), watch.end())
}

fn rows(name: &str, ours: Side, theirs: Side) -> Vec<Row> {
    let memory = Row {
        name: format!("{name}: memory above idle"),
        unit: Unit::Mebibytes,
        ours: ours.memory(),
        yardstick: Some(theirs.memory()),
        aims: vec![Aim::AtMost(64.0), Aim::Ratio(1.0)],
        note: "",
    };
    let speed = Row {
        name: name.to_owned(),
        unit: Unit::MegabytesPerSecond,
        ours,
        yardstick: Some(theirs),
        aims: Vec::new(),
        note: "",
    };
    vec![speed, memory]
}
