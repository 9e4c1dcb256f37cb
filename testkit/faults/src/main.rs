//! `media-faults`: the fault run in full length.

use std::{
    process::ExitCode,
    time::{Duration, SystemTime},
};

use clap::{Parser, ValueEnum};
use media_faults::{FaultRun, Mode};

/// Imports and uploads media while faults of all kinds are made, and checks that every promise was kept.
#[derive(Parser)]
struct Arguments {
    /// The programs to run; both modes by default, one after the other
    #[arg(long, value_enum)]
    mode: Option<ModeName>,
    /// The number of imports
    #[arg(long, default_value_t = 3000)]
    jobs: usize,
    /// Imports posted per second
    #[arg(long, default_value_t = 12)]
    rate: u32,
    /// Put PgBouncer in transaction mode in front of PostgreSQL
    #[arg(long)]
    pooler: bool,
    /// The seed of all random choices; by default the time
    #[arg(long)]
    seed: Option<u64>,
}

/// The programs of a run and their dependencies.
#[derive(Clone, Copy, ValueEnum)]
enum ModeName {
    /// Two APIs and three workers on PostgreSQL, Redis and SeaweedFS
    Cluster,
    /// One service on SQLite and a directory
    Single,
}

#[tokio::main]
#[allow(clippy::print_stdout, reason = "its report is what it is for")]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Arguments {
        jobs, rate, pooler, ..
    } = arguments;
    let seed = arguments.seed.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
        now.unwrap_or_default().as_secs()
    });
    let modes = match arguments.mode {
        None => vec![("cluster", Mode::Cluster), ("single", Mode::Single)],
        Some(ModeName::Cluster) => vec![("cluster", Mode::Cluster)],
        Some(ModeName::Single) => vec![("single", Mode::Single)],
    };
    let mut is_well = true;
    for (name, mode) in modes {
        println!("media-faults --mode {name} --jobs {jobs} --rate {rate} --seed {seed}");
        let run = FaultRun {
            mode,
            seed,
            jobs,
            rate,
            pooler,
            store_outage: Duration::from_secs(20),
            recheck: true,
        };
        let report = run.run().await;
        println!("{report}");
        is_well &= report.broken().is_empty();
        if mode == Mode::Cluster && report.refused_writes() == 0 {
            println!("no past attempt tried to write during the run");
            is_well = false;
        }
    }
    if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
