//! Downloads from disk, beside nginx and its sendfile.

use std::time::Duration;

use super::super::{
    load::Load,
    measure::{self, Watch},
    row::{Aim, Row, Run, Side, Unit},
    setting::{Setting, Standalone, new_keys},
    yardstick::curl,
};
use crate::{bytes::pattern, nginx::Nginx};

/// How many connections ask for small files, and for how many of them in turn.
const CONNECTIONS: usize = 16;
const FILES: usize = 64;

/// Small ones at once, and a large one.
pub(in super::super) async fn measure(setting: &Setting) -> Vec<Row> {
    let (nginx, media) = (Nginx::start().await, Standalone::start().await);
    let files: Vec<String> = (0..FILES).map(|n| format!("small-{n}")).collect();
    for file in &files {
        nginx.add(file, &pattern(20_000));
    }
    let nginx_idle = measure::memory_now(&[nginx.pid()]);
    let small: Vec<String> = files.iter().map(|file| nginx.url(file)).collect();
    let large = nginx.url(setting.add_large(&nginx));
    let (keys, large_key) = (new_keys(FILES), new_keys(1));
    media.api.import(&small[0], &keys, 16).await;
    media.api.import(&large, &large_key, 1).await;
    let stored = |key: &String| media.api.url(&format!("/medias/files/bench/{key}"));
    let ours: Vec<String> = keys.iter().map(stored).collect();
    let sides = |ours, theirs| {
        (
            Side::new("media", media.idle, ours),
            Some(Side::new("nginx", nginx_idle, theirs)),
        )
    };

    let (ours, theirs) = setting
        .alternate(
            async || get_many(setting, &ours, media.pids()[0]).await,
            async || get_many(setting, &small, nginx.pid()).await,
        )
        .await;
    let (ours, yardstick) = sides(ours, theirs);
    let many = Row {
        name: format!("download of 20 KB, {CONNECTIONS} connections"),
        unit: Unit::PerSecond,
        ours,
        yardstick,
        aims: vec![Aim::Ratio(0.7)],
        note: "64 files in turn, which are in memory and of which no record changes meanwhile",
    };

    let (ours, theirs) = setting
        .alternate(
            async || get_large(setting, &stored(&large_key[0]), media.pids()[0]).await,
            async || get_large(setting, &large, nginx.pid()).await,
        )
        .await;
    let (ours, yardstick) = sides(ours, theirs);
    let one = Row {
        name: format!("download of {}", setting.large()),
        unit: Unit::MegabytesPerSecond,
        ours,
        yardstick,
        aims: vec![Aim::Ratio(0.7)],
        note: "curl fetches; memory and processor time are the servers'",
    };
    vec![many, one]
}

async fn get_many(setting: &Setting, urls: &[String], server: u32) -> Run {
    let (load, watch) = (Load::get(urls), Watch::begin(&[server]));
    let time = setting.quick_or(Duration::from_secs(1), Duration::from_secs(4));
    let (done, took) = load.as_fast_as_it_goes(CONNECTIONS, time).await;
    Run::done(done, took, watch.end())
}

async fn get_large(setting: &Setting, url: &str, server: u32) -> Run {
    let watch = Watch::begin(&[server]);
    let (took, _) = measure::run(&mut curl(&["--output", "/dev/null", url])).await;
    Run::moved(setting.size, took, watch.end())
}
