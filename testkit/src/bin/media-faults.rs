//! `media-faults`: the fault run, as long as it takes.

use std::time::{Duration, SystemTime};

use clap::Parser;
use media_testkit::faults::FaultRun;

/// Imports media while everything that can fail does, and checks that every promise was kept.
#[derive(Parser)]
struct Arguments {
    /// How many imports
    #[arg(long, default_value_t = 3000)]
    jobs: usize,
    /// How many of them a second
    #[arg(long, default_value_t = 12)]
    rate: u32,
    /// From which every choice follows; by default another each time
    #[arg(long)]
    seed: Option<u64>,
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "its report is what it is for")]
async fn main() {
    let Arguments { jobs, rate, seed } = Arguments::parse();
    let seed = seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.unwrap_or_default().as_secs()
    });
    println!("media-faults --jobs {jobs} --rate {rate} --seed {seed}");
    let run = FaultRun {
        seed,
        jobs,
        rate,
        store_outage: Duration::from_secs(20),
        second_look: true,
    };
    let report = run.run().await;
    println!("{report}");
    assert!(
        report.refused_writes() > 0,
        "the run provoked no write of a past attempt"
    );
}
