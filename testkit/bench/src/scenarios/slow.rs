//! An import from an origin that limits each connection to 4 MiB/s, beside aria2c with eight connections and
//! curl with one.

use std::time::Instant;

use media_testkit::{bytes::write_large, nginx::Nginx};

use crate::{
    baseline::{aria2c, curl},
    environment::{Environment, Standalone, WorkDirectory, new_keys, size_name},
    measure::{self, Watch},
    measurement::{Measurement, Run, Side, Target, Unit},
};

/// Measures half of a large file, but not less than aria2c needs for its eight connections.
pub(crate) async fn measure(environment: &Environment) -> Vec<Measurement> {
    let (nginx, media, directory) = (
        Nginx::start().await,
        Standalone::start().await,
        WorkDirectory::new(),
    );
    let environment = environment.in_few_runs();
    let size = (environment.size / 2).max(160 << 20);
    write_large(&nginx.path("large"), size >> 20);
    let url = nginx.url("limited/large");
    let ours = async || {
        let keys = new_keys(1);
        directory.sync().await;
        let (watch, started) = (Watch::begin(&media.pids()), Instant::now());
        media.api.import(&url, &keys, 1).await;
        let run = Run::moved(size, started.elapsed(), watch.end());
        media.clear(&environment, &keys).await;
        run
    };
    let theirs = async || {
        directory.sync().await;
        let mut command = aria2c(&["-x8", "-s8"], &url, &directory.file("theirs"));
        let (took, cost) = measure::run(&mut command).await;
        directory.clear();
        Run::moved(size, took, cost)
    };
    let (ours, theirs) = environment.alternate_cold(ours, theirs).await;
    // Its rate is constant: that of one connection.
    let slice = environment.quick_or(16 << 20, 64 << 20);
    let range = format!("0-{}", slice - 1);
    let mut command = curl(&["--range", &range, "--output", "/dev/null", &url]);
    let (took, cost) = measure::run(&mut command).await;
    let one = vec![Run::moved(slice, took, cost)];
    let measurement = |name, runs, target, note| Measurement {
        name: format!("import of {} at 4 MiB/s per connection", size_name(size)),
        unit: Unit::MegabytesPerSecond,
        ours: Side::new("media", media.idle, ours.clone()),
        baseline: Some(Side::new(name, 0, runs)),
        targets: vec![Target::Ratio(target)],
        note,
    };
    vec![
        measurement("aria2c -x8 -s8", theirs, 1.0, ""),
        measurement(
            "curl",
            one,
            6.0,
            "curl ran once, on the first 64 MiB only (16 MiB in quick mode); its rate is constant",
        ),
    ]
}
