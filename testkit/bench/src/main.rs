//! `media-bench`: every value beside what a user would pick instead, in one run; and what the queue
//! costs.

#![allow(clippy::print_stdout, reason = "its tables are what it is for")]

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, Parser, Subcommand};
use media_bench::{Benchmark, Part};

/// Measures the service beside what a user would pick instead: one table, `results.json` and
/// `ratios.svg`.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    table: Table,
}

#[derive(Args)]
struct Table {
    /// Smaller sizes and fewer runs: under three minutes
    #[arg(long)]
    quick: bool,
    /// Beside Directus and Uppy Companion, too; `make install-competitors` installs them
    #[arg(long)]
    competitors: bool,
    /// How many runs of each side [default: 5, quick: 1]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    runs: Option<u16>,
    /// How many MiB a large file has; 36 times as much must be free on the disk [default: 1024, quick: 64]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(16..))]
    size: Option<u64>,
    /// Which parts of the table, comma-separated; all by default
    #[arg(long, value_delimiter = ',')]
    only: Vec<Part>,
    /// Where the results go, and all data while it is needed: on a real disk, where every user may enter
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
}

#[derive(Subcommand)]
enum What {
    /// Claims a second, by workers and by what else the table holds
    Claims,
    /// How long a new job waits for an idle worker, with Redis and without, and what idleness costs
    Pickup,
    /// What Redis holds before and after many jobs
    Redis {
        /// How many jobs
        #[arg(long, default_value_t = 100_000)]
        jobs: usize,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let started = Instant::now();
    let Arguments { what, table } = Arguments::parse();
    let mut complete = true;
    match what {
        None => complete = table.measure().await,
        Some(What::Claims) => media_bench::claims().await,
        Some(What::Pickup) => media_bench::pickup(Duration::from_secs(20)).await,
        Some(What::Redis { jobs }) => media_bench::redis_memory(jobs).await,
    }
    println!("{:.0?} in all", started.elapsed());
    if complete {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

impl Table {
    async fn measure(self) -> bool {
        let or = |quick, full| if self.quick { quick } else { full };
        let benchmark = Benchmark {
            runs: usize::from(self.runs.unwrap_or(or(1, 5))),
            size: self.size.unwrap_or(u64::from(or(64, 1024))),
            parts: self.only,
            quick: self.quick,
            competitors: self.competitors,
            directory: self.directory,
        };
        benchmark.run().await
    }
}
