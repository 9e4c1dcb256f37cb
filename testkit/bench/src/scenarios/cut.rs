//! An import whose transfer is interrupted five times at random points: bytes fetched per byte of the file.
//! The baseline is aria2c, which resumes as well.

use media_testkit::origin::{Content, RangedOrigin};

use crate::{
    baseline::aria2c,
    environment::{Environment, Standalone, WorkDirectory, new_keys, size_name},
    measure::{self, Watch},
    measurement::{Measurement, Run, Side, Target, Unit},
};

/// The number of interruptions.
const CUTS: usize = 5;

/// Measures an import of a quarter of a large file.
pub(crate) async fn measure(environment: &Environment) -> Vec<Measurement> {
    let (origin, media, directory) = (
        RangedOrigin::start().await,
        Standalone::start().await,
        WorkDirectory::new(),
    );
    let size = (environment.size / 4).max(32 << 20);
    let url = origin.add("file", Content::Generated { size, seed: 1 });
    let fetched = |before: u64, cost| Run {
        value: (origin.body_bytes() - before) as f64 / size as f64,
        cost: Some(cost),
    };
    let ours = async || {
        let (keys, before) = (new_keys(1), cut(&origin, size));
        let watch = Watch::begin(&media.pids());
        media.api.import(&url, &keys, 1).await;
        let run = fetched(before, watch.end());
        media.clear(environment, &keys).await;
        run
    };
    let theirs = async || {
        let before = cut(&origin, size);
        // The default of five tries is one too few.
        let arguments = ["--max-tries=10"];
        let mut command = aria2c(&arguments, &url, &directory.file("theirs"));
        let (_, cost) = measure::run(&mut command).await;
        directory.clear();
        fetched(before, cost)
    };
    let (ours, theirs) = environment.alternate_cold(ours, theirs).await;
    vec![Measurement {
        name: format!(
            "import of {} interrupted {CUTS} times: bytes fetched",
            size_name(size)
        ),
        unit: Unit::TimesItsSize,
        ours: Side::new("media", media.idle, ours),
        baseline: Some(Side::new("aria2c", 0, theirs)),
        targets: vec![Target::AtMost(1.05)],
        note: "",
    }]
}

/// Interrupts the next transfer at random points, provided that it resumes each time. Returns the number of
/// bytes sent so far.
fn cut(origin: &RangedOrigin, size: u64) -> u64 {
    let mut points = [(); CUTS].map(|()| rand::random_range(0..size));
    points.sort_unstable();
    let mut before = 0;
    let lengths = points.map(|point| point - std::mem::replace(&mut before, point));
    origin.script(|script| script.cut_after = lengths.into());
    origin.body_bytes()
}
