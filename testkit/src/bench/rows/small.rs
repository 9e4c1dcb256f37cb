//! Small imports, sixteen at once, posted over the API and waited for; beside `rclone rcd`, which keeps
//! no record of them.

use std::time::Instant;

use futures_util::{StreamExt as _, stream};

use super::super::{
    api::Api,
    measure::{self, Watch},
    peers::{Companion, Directus},
    row::{Aim, Row, Run, Side, Unit},
    setting::{Scratch, Setting, Standalone, TwoPrograms, new_keys},
    yardstick::{Rcd, bucket},
};
use crate::{bytes::pattern, nginx::Nginx};

/// How many at once.
const AT_ONCE: usize = 16;
/// How many bytes each has.
const SIZE: usize = 20_000;
/// What comes from npm gets so many times fewer: it would take minutes.
const SLOWER: usize = 5;

/// To S3, by two programs; and to disk, by one.
pub(in super::super) async fn measure(setting: &Setting) -> Vec<Row> {
    let mut rows = to_s3(setting).await;
    rows.extend(to_disk(setting).await);
    rows
}

async fn to_s3(setting: &Setting) -> Vec<Row> {
    let media = TwoPrograms::start().await;
    let (origin, seaweed) = (&media.production.origin, &media.production.seaweed);
    let rcd = Rcd::start(Some(seaweed)).await;
    let rcd_idle = measure::memory_now(&[rcd.pid()]);
    origin.add("small", &pattern(SIZE));
    let url = origin.url("small");
    let ours = async || import(setting, &media.api, &media.pids(), &url).await;
    let theirs = async || copy(setting, &rcd, &url, &bucket("theirs")).await;
    let (ours, theirs) = setting.alternate(ours, theirs).await;
    let row = |ours, theirs, aim, note| Row {
        name: format!("20 KB, {AT_ONCE} at once, to S3"),
        unit: Unit::PerSecond,
        ours: Side::new("media-api and media-worker", media.idle, ours),
        yardstick: Some(theirs),
        aims: vec![Aim::Ratio(aim)],
        note,
    };
    let mut rows = vec![row(
        ours,
        Side::new("rclone rcd", rcd_idle, theirs),
        1.0,
        "",
    )];
    if setting.peers {
        let companion = Companion::start(seaweed).await;
        let idle = measure::memory_now(&[companion.pid()]);
        let ours = async || import(setting, &media.api, &media.pids(), &url).await;
        let theirs = async || {
            let count = count(setting) / SLOWER;
            let watch = Watch::begin(&[companion.pid()]);
            let (took, _) = measure::run(&mut companion.client(&url, count, AT_ONCE)).await;
            Run::done(count, took, watch.end())
        };
        let (ours, theirs) = setting.alternate(ours, theirs).await;
        let theirs = Side::new("Uppy Companion", idle, theirs);
        rows.push(row(
            ours,
            theirs,
            5.0,
            "its client's own processor time is not counted",
        ));
    }
    rows
}

async fn to_disk(setting: &Setting) -> Vec<Row> {
    let (nginx, media, scratch, rcd) = (
        Nginx::start().await,
        Standalone::start().await,
        Scratch::new(),
        Rcd::start(None).await,
    );
    let rcd_idle = measure::memory_now(&[rcd.pid()]);
    nginx.add("small", &pattern(SIZE));
    let url = nginx.url("small");
    let ours = async || {
        scratch.settle().await;
        import(setting, &media.api, &media.pids(), &url).await
    };
    let theirs = async || {
        scratch.settle().await;
        copy(setting, &rcd, &url, scratch.path()).await
    };
    let (ours, theirs) = setting.alternate(ours, theirs).await;
    let row = |ours, theirs, aim, note| Row {
        name: format!("20 KB, {AT_ONCE} at once, to disk"),
        unit: Unit::PerSecond,
        ours: Side::new("media", media.idle, ours),
        yardstick: Some(theirs),
        aims: vec![Aim::Ratio(aim)],
        note,
    };
    let note = "ours and its record have reached the disk, rclone's is in memory yet";
    let mut rows = vec![row(
        ours,
        Side::new("rclone rcd", rcd_idle, theirs),
        0.6,
        note,
    )];
    if setting.peers {
        let directus = Directus::start().await;
        let idle = measure::memory_now(&[directus.pid()]);
        let ours = async || {
            scratch.settle().await;
            import(setting, &media.api, &media.pids(), &url).await
        };
        let theirs = async || {
            scratch.settle().await;
            let count = count(setting) / SLOWER;
            let (watch, started) = (Watch::begin(&[directus.pid()]), Instant::now());
            stream::iter(0..count)
                .for_each_concurrent(AT_ONCE, |_| directus.import(&url))
                .await;
            Run::done(count, started.elapsed(), watch.end())
        };
        let (ours, theirs) = setting.alternate(ours, theirs).await;
        rows.push(row(ours, Side::new("Directus", idle, theirs), 15.0, ""));
    }
    rows
}

fn count(setting: &Setting) -> usize {
    setting.quick_or(400, 2000)
}

async fn import(setting: &Setting, api: &Api, pids: &[u32], url: &str) -> Run {
    let keys = new_keys(count(setting));
    let (watch, started) = (Watch::begin(pids), Instant::now());
    api.import(url, &keys, AT_ONCE).await;
    Run::done(keys.len(), started.elapsed(), watch.end())
}

async fn copy(setting: &Setting, rcd: &Rcd, url: &str, into: &str) -> Run {
    let names = new_keys(count(setting));
    let (watch, started) = (Watch::begin(&[rcd.pid()]), Instant::now());
    stream::iter(&names)
        .for_each_concurrent(AT_ONCE, |name| rcd.copy_url(url, into, name))
        .await;
    Run::done(names.len(), started.elapsed(), watch.end())
}
