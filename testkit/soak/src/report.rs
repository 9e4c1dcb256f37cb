//! The report of a soak.

use std::{fmt, time::Duration};

use crate::{honest::Measured, programs::Peaks};

/// The limit of the 99th percentile of honest requests.
const MAX_P99: Duration = Duration::from_secs(1);
/// The longest time until an honest import starts.
const MAX_WAIT: Duration = Duration::from_secs(5);
/// The memory limit of one program in bytes.
const MAX_MEMORY: u64 = 256 << 20;
/// The largest number of failures that are printed.
const MAX_PRINTED: usize = 20;

#[derive(Debug)]
pub struct SoakReport {
    pub(crate) honest: Vec<Measured>,
    /// The number of tries of each attack.
    pub(crate) attacks: Vec<(String, usize)>,
    pub(crate) programs: Peaks,
    pub(crate) took: Duration,
}

impl SoakReport {
    /// Returns the failures of honest callers and of memory limits, which no slow machine excuses.
    pub fn failures(&self) -> Vec<String> {
        let failures = self.honest.iter().flat_map(|measured| {
            let of_project = |failure| format!("{}: {failure}", measured.project);
            measured.failures.iter().map(of_project)
        });
        let mut failures: Vec<String> = failures.collect();
        let Peaks {
            api_memory,
            worker_memory,
            ..
        } = self.programs;
        for (program, memory) in [("media-api", api_memory), ("media-worker", worker_memory)] {
            if memory >= MAX_MEMORY {
                failures.push(format!("{program} held {}", mebibytes(memory)));
            }
        }
        failures
    }

    /// Returns the times that exceed their limits on an otherwise idle machine.
    pub fn delays(&self) -> Vec<String> {
        let mut delays = Vec::new();
        for measured in &self.honest {
            let p99 = percentile(&measured.latencies, 99);
            if p99 > MAX_P99 {
                delays.push(format!("{}: p99 of requests {p99:.1?}", measured.project));
            }
            let wait = percentile(&measured.waits, 100);
            if wait > MAX_WAIT {
                delays.push(format!("{}: an import waited {wait:.1?}", measured.project));
            }
        }
        delays
    }

    /// Returns the peak number of connections to the API.
    pub fn connections(&self) -> usize {
        self.programs.connections
    }
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    let last = times.len().saturating_sub(1);
    times.get(last * percent / 100).copied().unwrap_or_default()
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

impl fmt::Display for SoakReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "soak of {:.0?}", self.took)?;
        for Measured {
            project,
            latencies,
            waits,
            failures,
        } in &self.honest
        {
            let of = |percent| percentile(latencies, percent);
            writeln!(
                f,
                "  {project}: {} requests, p50 {:.1?}, p99 {:.1?}, longest {:.1?}; {} imports, \
                 started after p50 {:.1?}, longest {:.1?}; {} failures",
                latencies.len(),
                of(50),
                of(99),
                of(100),
                waits.len(),
                percentile(waits, 50),
                percentile(waits, 100),
                failures.len()
            )?;
        }
        for (attack, tries) in &self.attacks {
            writeln!(f, "  {attack}: {tries} tries")?;
        }
        let Peaks {
            api_memory,
            worker_memory,
            connections,
        } = self.programs;
        writeln!(
            f,
            "  peaks: {connections} connections, media-api {}, media-worker {}",
            mebibytes(api_memory),
            mebibytes(worker_memory)
        )?;
        for problem in self
            .failures()
            .iter()
            .chain(&self.delays())
            .take(MAX_PRINTED)
        {
            writeln!(f, "  BROKEN {problem}")?;
        }
        Ok(())
    }
}
