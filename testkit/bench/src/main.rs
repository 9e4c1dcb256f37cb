//! `media-bench`: measures the service and its baselines in one run, and the queue alone.

#![allow(clippy::print_stdout, reason = "its tables are what it is for")]

use std::{
    path::PathBuf,
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, Parser, Subcommand};
use media_bench::{Benchmark, Scenario};

/// Measures the service beside the tools that a user would choose instead: one table, `results.json` and
/// `ratios.svg`.
#[derive(Parser)]
#[command(args_conflicts_with_subcommands = true)]
struct Arguments {
    #[command(subcommand)]
    command: Option<QueueCommand>,
    #[command(flatten)]
    table: Table,
}

#[derive(Args)]
struct Table {
    /// Smaller sizes and fewer runs: under three minutes
    #[arg(long)]
    quick: bool,
    /// Also measure Directus and Uppy Companion; `make install-competitors` installs them
    #[arg(long)]
    competitors: bool,
    /// The number of runs of each side [default: 5, quick: 1]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..))]
    runs: Option<u16>,
    /// The size of a large file in MiB; 36 times as much must be free on the disk [default: 1024, quick: 64]
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u64).range(16..))]
    size: Option<u64>,
    /// The scenarios to measure, comma-separated; all by default
    #[arg(long, value_delimiter = ',')]
    only: Vec<Scenario>,
    /// The directory of the results, and of all data during the run: on a real disk, accessible to all users
    #[arg(long, default_value = "target/bench")]
    directory: PathBuf,
}

#[derive(Subcommand)]
enum QueueCommand {
    /// Claims per second, by the number of workers and the content of the table
    Claims,
    /// Pick-up latency and cost of an idle worker, with and without Redis
    Pickup,
    /// Memory of Redis before and after many jobs
    Redis {
        /// The number of jobs
        #[arg(long, default_value_t = 100_000)]
        jobs: usize,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    let started = Instant::now();
    let Arguments { command, table } = Arguments::parse();
    let mut complete = true;
    match command {
        None => complete = table.measure().await,
        Some(QueueCommand::Claims) => media_bench::claims().await,
        Some(QueueCommand::Pickup) => media_bench::pickup(Duration::from_secs(20)).await,
        Some(QueueCommand::Redis { jobs }) => media_bench::redis_memory(jobs).await,
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
            scenarios: self.only,
            quick: self.quick,
            competitors: self.competitors,
            directory: self.directory,
        };
        benchmark.run().await
    }
}
