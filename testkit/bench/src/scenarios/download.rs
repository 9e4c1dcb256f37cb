//! Downloads from disk, beside nginx with sendfile.

use std::time::Duration;

use media_testkit::{bytes::pattern, nginx::Nginx};

use crate::{
    baseline::curl,
    environment::{Environment, Standalone, new_keys},
    load::Load,
    measure::{self, Watch},
    measurement::{Measurement, Run, Side, Target, Unit},
};

/// The number of connections that request small files.
const CONNECTIONS: usize = 16;
/// The number of small files, which are requested round-robin.
const FILES: usize = 64;

/// Measures concurrent downloads of small files, and one large download.
pub(crate) async fn measure(environment: &Environment) -> Vec<Measurement> {
    let (nginx, media) = (Nginx::start().await, Standalone::start().await);
    let files: Vec<String> = (0..FILES).map(|n| format!("small-{n}")).collect();
    for file in &files {
        nginx.add(file, &pattern(20_000));
    }
    let nginx_idle = measure::memory_now(&[nginx.pid()]);
    let small: Vec<String> = files.iter().map(|file| nginx.url(file)).collect();
    let large = nginx.url(environment.add_large(&nginx));
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

    let (ours, theirs) = environment
        .alternate(
            async || get_many(environment, &ours, media.pids()[0]).await,
            async || get_many(environment, &small, nginx.pid()).await,
        )
        .await;
    let (ours, baseline) = sides(ours, theirs);
    let many = Measurement {
        name: format!("download of 20 KB, {CONNECTIONS} connections"),
        unit: Unit::PerSecond,
        ours,
        baseline,
        targets: vec![Target::Ratio(0.7)],
        note: "64 files round-robin, all in the page cache, with unchanged records",
    };

    let (ours, theirs) = environment
        .alternate(
            async || get_large(environment, &stored(&large_key[0]), media.pids()[0]).await,
            async || get_large(environment, &large, nginx.pid()).await,
        )
        .await;
    let (ours, baseline) = sides(ours, theirs);
    let one = Measurement {
        name: format!("download of {}", environment.large()),
        unit: Unit::MegabytesPerSecond,
        ours,
        baseline,
        targets: vec![Target::Ratio(0.7)],
        note: "downloaded by curl; memory and CPU time are those of the servers",
    };
    vec![many, one]
}

async fn get_many(environment: &Environment, urls: &[String], server: u32) -> Run {
    let (load, watch) = (Load::get(urls), Watch::begin(&[server]));
    let time = environment.quick_or(Duration::from_secs(1), Duration::from_secs(4));
    let (done, took) = load.as_fast_as_it_goes(CONNECTIONS, time).await;
    Run::done(done, took, watch.end())
}

async fn get_large(environment: &Environment, url: &str, server: u32) -> Run {
    let watch = Watch::begin(&[server]);
    let (took, _) = measure::run(&mut curl(&["--output", "/dev/null", url])).await;
    Run::moved(environment.size, took, watch.end())
}
