//! The benchmark: what a user does with the service, measured beside what they would pick instead, on
//! real servers. And measurements of the queue alone.

#![allow(clippy::print_stdout, reason = "its tables are what it is for")]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures of three digits"
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
mod load;
mod machine;
mod measure;
mod peers;
mod picture;
mod queue;
mod results;
mod row;
mod rows;
mod setting;
mod table;
mod yardstick;

pub use queue::{claims, pickup, redis_memory};

use row::Row;
use setting::Setting;

/// A part of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// One large import to disk
    Disk,
    /// One large import to S3
    S3,
    /// Sixteen large imports at once, to disk and to S3
    AtOnce,
    /// An origin that limits each connection
    Slow,
    /// A transfer that breaks five times
    Cut,
    /// Small imports, sixteen at once
    Small,
    /// How long a job waits for an idle worker
    PickUp,
    /// POST /jobs
    Post,
    /// Downloads from disk
    Download,
    /// One large upload
    Upload,
    /// GET /jobs, of few and many
    Lists,
    /// Claims, of few and many
    Claims,
    /// What an idle worker costs
    Idle,
}

/// What to measure.
#[derive(Clone, Debug)]
pub struct Benchmark {
    /// Which parts of the table; all if there are none.
    pub parts: Vec<Part>,
    /// How many runs of each side.
    pub runs: usize,
    /// How many MiB a large file has.
    pub size: u64,
    /// Whether everything else is smaller, too.
    pub quick: bool,
    /// Whether Directus and Companion are there to be measured as well.
    pub peers: bool,
    /// Where the results go, and all data while it is needed: a directory on a real disk that any user
    /// may enter.
    pub directory: PathBuf,
}

impl Benchmark {
    /// Measures, prints the table, and writes `results.json` and `ratios.svg` beside it. Returns whether
    /// every part could be measured.
    pub async fn run(self) -> bool {
        let directory = std::path::absolute(&self.directory).unwrap();
        let data = directory.join("data");
        // What an interrupted run has left.
        let _ = std::fs::remove_dir_all(&data);
        std::fs::create_dir_all(&data).unwrap();
        // The servers keep their data there as well.
        tempfile::env::override_temp_dir(&data).expect("set once");
        let setting = Setting {
            runs: self.runs,
            size: self.size << 20,
            quick: self.quick,
            peers: self.peers,
        };
        let parts = match self.parts.as_slice() {
            [] => Part::value_variants(),
            chosen => chosen,
        };
        let machine = machine::describe();
        let (mut rows, mut failed) = (Vec::new(), Vec::new());
        for part in parts {
            let started = Instant::now();
            match AssertUnwindSafe(part.measure(&setting))
                .catch_unwind()
                .await
            {
                Ok(measured) => rows.extend(measured),
                // The panic has said what.
                Err(_) => failed.push(part),
            }
            eprintln!("{part:?}: {:.0?}", started.elapsed());
            let document = json!({
                "date": chrono::Utc::now(),
                "machine": machine,
                "runs": setting.runs,
                "large_file_bytes": setting.size,
                "quick": setting.quick,
                "rows": results::json(&rows),
            });
            write(&directory.join("results.json"), &format!("{document:#}\n"));
            write(&directory.join("ratios.svg"), &picture::svg(&rows));
        }
        std::fs::remove_dir_all(&data).unwrap();
        println!("{}", table::text(&rows));
        println!("{}", directory.join("results.json").display());
        if !failed.is_empty() {
            println!("not measured: {failed:?}");
        }
        failed.is_empty()
    }
}

impl Part {
    async fn measure(self, setting: &Setting) -> Vec<Row> {
        match self {
            Self::Disk => rows::imports::to_disk(setting).await,
            Self::S3 => rows::imports::to_s3(setting).await,
            Self::AtOnce => rows::at_once::measure(setting).await,
            Self::Slow => rows::slow::measure(setting).await,
            Self::Cut => rows::cut::measure(setting).await,
            Self::Small => rows::small::measure(setting).await,
            Self::PickUp => rows::pick_up::measure(setting).await,
            Self::Post => rows::post::measure(setting).await,
            Self::Download => rows::download::measure(setting).await,
            Self::Upload => rows::upload::measure(setting).await,
            Self::Lists => rows::lists::measure(setting).await,
            Self::Claims => rows::claims::measure(setting).await,
            Self::Idle => rows::idle::measure(setting).await,
        }
    }
}

fn write(path: &Path, text: &str) {
    std::fs::write(path, text).unwrap();
}
