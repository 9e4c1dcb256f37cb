//! An origin that gives each connection 4 MiB/s, beside aria2c with eight connections, and curl with its
//! one.

use std::time::Instant;

use super::super::{
    measure::{self, Watch},
    row::{Aim, Row, Run, Side, Unit},
    setting::{Scratch, Setting, Standalone, new_keys, size_name},
    yardstick::{aria2c, curl},
};
use crate::{bytes::write_large, nginx::Nginx};

/// Half of a large file, but not less than aria2c needs for its eight connections.
pub(in super::super) async fn measure(setting: &Setting) -> Vec<Row> {
    let (nginx, media, scratch) = (
        Nginx::start().await,
        Standalone::start().await,
        Scratch::new(),
    );
    let setting = setting.in_few_runs();
    let size = (setting.size / 2).max(160 << 20);
    write_large(&nginx.path("large"), size >> 20);
    let url = nginx.url("limited/large");
    let ours = async || {
        let keys = new_keys(1);
        scratch.settle().await;
        let (watch, started) = (Watch::begin(&media.pids()), Instant::now());
        media.api.import(&url, &keys, 1).await;
        let run = Run::moved(size, started.elapsed(), watch.end());
        media.clear(&setting, &keys).await;
        run
    };
    let theirs = async || {
        scratch.settle().await;
        let mut command = aria2c(&["-x8", "-s8"], &url, &scratch.file("theirs"));
        let (took, cost) = measure::run(&mut command).await;
        scratch.clear();
        Run::moved(size, took, cost)
    };
    let (ours, theirs) = setting.alternate_cold(ours, theirs).await;
    // Its rate is that of a connection, from the first byte to the last.
    let slice = setting.quick_or(16 << 20, 64 << 20);
    let range = format!("0-{}", slice - 1);
    let mut command = curl(&["--range", &range, "--output", "/dev/null", &url]);
    let (took, cost) = measure::run(&mut command).await;
    let one = vec![Run::moved(slice, took, cost)];
    let row = |name, runs, aim, note| Row {
        name: format!("{} at 4 MiB/s a connection", size_name(size)),
        unit: Unit::MegabytesPerSecond,
        ours: Side::new("media", media.idle, ours.clone()),
        yardstick: Some(Side::new(name, 0, runs)),
        aims: vec![Aim::Ratio(aim)],
        note,
    };
    vec![
        row("aria2c -x8 -s8", theirs, 1.0, ""),
        row(
            "curl",
            one,
            6.0,
            "curl ran once, and over the first 64 MiB alone (16 MiB if quick): its rate does not change",
        ),
    ]
}
