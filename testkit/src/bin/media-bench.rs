//! `media-bench`: what the queue costs. Each figure with what it stands beside, in one run.

#![allow(clippy::print_stdout, reason = "its tables are what it is for")]

use std::time::{Duration, Instant};

use clap::{Parser, Subcommand};
use media_testkit::bench;

/// Measures the queue.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    what: What,
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
async fn main() {
    let started = Instant::now();
    match Arguments::parse().what {
        What::Claims => bench::claims().await,
        What::Pickup => bench::pickup(Duration::from_secs(20)).await,
        What::Redis { jobs } => bench::redis_memory(jobs).await,
    }
    println!("{:.0?} in all", started.elapsed());
}
