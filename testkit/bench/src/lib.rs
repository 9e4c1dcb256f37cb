//! The benchmark: operations of the service, each measured beside the tool that a user would choose instead,
//! on real servers; and measurements of the queue alone.

#![allow(missing_docs, reason = "a crate for tests; most names say everything")]
// In a benchmark a failure is a panic that says where; nothing here connects on behalf of a user.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)]
#![allow(clippy::disallowed_methods)]
#![allow(clippy::print_stdout, reason = "prints its tables")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "measured values of three digits"
)]

use std::{
    panic::AssertUnwindSafe,
    path::{Path, PathBuf},
    time::Instant,
};

use clap::ValueEnum;
use futures_util::FutureExt as _;
use serde_json::json;

mod api;
mod baseline;
mod chart;
mod competitors;
mod environment;
mod load;
mod machine;
mod measure;
mod measurement;
mod queue;
mod results;
mod scenarios;
mod table;

pub use queue::{claims, pickup, redis_memory};

use environment::Environment;
use measurement::Measurement;

/// A scenario of the benchmark, which yields one or more rows of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scenario {
    /// One large import to disk
    Disk,
    /// One large import to S3
    S3,
    /// Sixteen concurrent large imports, to disk and to S3
    AtOnce,
    /// One import from an origin that limits the rate of each connection
    Slow,
    /// One import whose transfer is interrupted five times
    Cut,
    /// Small imports, sixteen at a time
    Small,
    /// The latency from a new job to its start by an idle worker
    PickUp,
    /// Throughput and latency of POST /jobs
    Post,
    /// Downloads from disk
    Download,
    /// One large upload
    Upload,
    /// GET /jobs on a large table and on a small one
    Lists,
    /// Claims on a large table and on a small one
    Claims,
    /// CPU time and statements of an idle worker
    Idle,
}

/// The parameters of a benchmark.
#[derive(Clone, Debug)]
pub struct Benchmark {
    /// The scenarios to measure; all if empty.
    pub scenarios: Vec<Scenario>,
    /// The number of runs of each side.
    pub runs: usize,
    /// The size of a large file in MiB.
    pub size: u64,
    /// Whether everything else is smaller, too.
    pub quick: bool,
    /// Whether to measure Directus and Companion as well; they must be installed.
    pub competitors: bool,
    /// The directory of the results, and of all data during the run. It must be on a real disk and accessible
    /// to all users.
    pub directory: PathBuf,
}

impl Benchmark {
    /// Runs the scenarios, prints the table, and writes `results.json` and `ratios.svg`. Returns whether all
    /// scenarios succeeded.
    pub async fn run(self) -> bool {
        let directory = std::path::absolute(&self.directory).unwrap();
        let data = directory.join("data");
        // An interrupted run leaves its data.
        let _ = std::fs::remove_dir_all(&data);
        std::fs::create_dir_all(&data).unwrap();
        // The servers create their directories there as well.
        tempfile::env::override_temp_dir(&data).expect("set once");
        let environment = Environment {
            runs: self.runs,
            size: self.size << 20,
            quick: self.quick,
            competitors: self.competitors,
        };
        let scenarios = match self.scenarios.as_slice() {
            [] => Scenario::value_variants(),
            chosen => chosen,
        };
        let machine = machine::describe();
        let (mut measurements, mut failed) = (Vec::new(), Vec::new());
        for scenario in scenarios {
            let started = Instant::now();
            match AssertUnwindSafe(scenario.measure(&environment))
                .catch_unwind()
                .await
            {
                Ok(measured) => measurements.extend(measured),
                // The panic has printed its message.
                Err(_) => failed.push(scenario),
            }
            eprintln!("{scenario:?}: {:.0?}", started.elapsed());
            let document = json!({
                "date": chrono::Utc::now(),
                "machine": machine,
                "runs": environment.runs,
                "large_file_bytes": environment.size,
                "quick": environment.quick,
                "scenarios": results::json(&measurements),
            });
            write(&directory.join("results.json"), &format!("{document:#}\n"));
            write(&directory.join("ratios.svg"), &chart::svg(&measurements));
        }
        std::fs::remove_dir_all(&data).unwrap();
        println!("{}", table::text(&measurements));
        println!("{}", directory.join("results.json").display());
        if !failed.is_empty() {
            println!("not measured: {failed:?}");
        }
        failed.is_empty()
    }
}

impl Scenario {
    async fn measure(self, environment: &Environment) -> Vec<Measurement> {
        match self {
            Self::Disk => scenarios::imports::to_disk(environment).await,
            Self::S3 => scenarios::imports::to_s3(environment).await,
            Self::AtOnce => scenarios::at_once::measure(environment).await,
            Self::Slow => scenarios::slow::measure(environment).await,
            Self::Cut => scenarios::cut::measure(environment).await,
            Self::Small => scenarios::small::measure(environment).await,
            Self::PickUp => scenarios::pick_up::measure(environment).await,
            Self::Post => scenarios::post::measure(environment).await,
            Self::Download => scenarios::download::measure(environment).await,
            Self::Upload => scenarios::upload::measure(environment).await,
            Self::Lists => scenarios::lists::measure(environment).await,
            Self::Claims => scenarios::claims::measure(environment).await,
            Self::Idle => scenarios::idle::measure(environment).await,
        }
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
