//! `media-soak`: hostile callers beside honest ones, for a given time.

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use media_soak::Soak;

/// Attacks a cluster in ten ways at once, and measures two honest projects meanwhile
#[derive(Parser)]
struct Arguments {
    /// The duration in minutes
    #[arg(long, default_value_t = 10)]
    minutes: u64,
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "its report is what it is for")]
async fn main() -> ExitCode {
    let Arguments { minutes } = Arguments::parse();
    let soak = Soak {
        duration: Duration::from_mins(minutes),
        divisor: 1,
    };
    let report = soak.run().await;
    println!("{report}");
    if report.failures().is_empty() && report.delays().is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
