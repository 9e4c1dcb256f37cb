//! Memory and CPU time of process trees, from `/proc`.

use std::{
    collections::HashMap,
    fs,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The unit of CPU times in `/proc/PID/stat`; the kernel fixes it for programs (proc(5), `USER_HZ`).
const TICKS_PER_SECOND: u64 = 100;
/// The interval at which a running command is sampled.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(5);

/// The cost of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cost {
    /// The sum of the peaks of all processes, in bytes.
    pub(crate) peak: u64,
    /// The CPU time of all processes.
    pub(crate) processor: Duration,
}

/// A measurement in progress.
#[derive(Debug)]
pub(crate) struct Watch {
    programs: Vec<u32>,
    before: Duration,
}

impl Watch {
    /// Starts to measure these processes and their children, and resets their memory peaks.
    pub(crate) fn begin(programs: &[u32]) -> Self {
        for pid in with_children(programs) {
            // Resets VmHWM (proc(5)).
            let reset = fs::write(format!("/proc/{pid}/clear_refs"), "5");
            assert!(reset.is_ok() || Stat::read(pid).is_none(), "{reset:?}");
        }
        Self {
            programs: programs.to_vec(),
            before: processor_time(programs),
        }
    }

    /// Returns the cost since the start.
    pub(crate) fn end(self) -> Cost {
        Cost {
            peak: memory(&self.programs, "VmHWM:"),
            processor: processor_time(&self.programs).saturating_sub(self.before),
        }
    }
}

/// Returns the current memory of these processes and their children, in bytes.
pub(crate) fn memory_now(programs: &[u32]) -> u64 {
    memory(programs, "VmRSS:")
}

/// Returns the CPU time of these processes and their children, including ended ones that were waited for.
pub(crate) fn processor_time(programs: &[u32]) -> Duration {
    let stats = with_children(programs).into_iter().filter_map(Stat::read);
    stats.map(|stat| stat.processor).sum()
}

/// Runs a command to its end without its output. Panics if it fails.
pub(crate) async fn run(command: &mut Command) -> (Duration, Cost) {
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}; `make install-bench` installs it"));
    let pid = child.id();
    let mut cost = Cost::default();
    // An ended process reports its CPU time until it is waited for.
    while let Some(stat) = Stat::read(pid).filter(|stat| stat.state != 'Z') {
        // Only the command itself: listing its children costs more than some commands do.
        cost.peak = cost.peak.max(memory_of(pid, "VmHWM:").unwrap_or(0) * 1024);
        cost.processor = stat.processor;
        tokio::time::sleep(SAMPLE_INTERVAL).await;
    }
    let took = started.elapsed();
    cost.processor = Stat::read(pid).map_or(cost.processor, |stat| stat.processor);
    let mut said = String::new();
    let errors = child.stderr.take().unwrap();
    let _ = std::io::Read::read_to_string(&mut { errors }, &mut said);
    let status = child.wait().unwrap();
    assert!(status.success(), "{command:?}: {status}: {said}");
    (took, cost)
}

/// Waits until the file system has written everything to the disk, so that no measurement includes the writes
/// of an earlier one.
pub(crate) async fn sync(directory: &Path) {
    let sync = tokio::process::Command::new("sync")
        .arg("--file-system")
        .arg(directory)
        .status();
    assert!(sync.await.unwrap().success());
}

/// Waits until a file is on the disk.
pub(crate) async fn sync_file(file: &Path) {
    let sync = tokio::process::Command::new("sync").arg(file).status();
    assert!(sync.await.unwrap().success());
}

fn memory(programs: &[u32], line: &str) -> u64 {
    let programs = with_children(programs).into_iter();
    let kibibytes: u64 = programs.filter_map(|pid| memory_of(pid, line)).sum();
    kibibytes * 1024
}

/// Returns a value in kibibytes.
fn memory_of(pid: u32, line: &str) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let value = status.lines().find_map(|l| l.strip_prefix(line))?;
    value.trim().trim_end_matches(" kB").parse().ok()
}

/// Fields of `/proc/PID/stat`.
struct Stat {
    state: char,
    parent: u32,
    processor: Duration,
}

impl Stat {
    fn read(pid: u32) -> Option<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
    }

    fn parse(stat: &str) -> Option<Self> {
        // The program's name before it may contain any character.
        let (_, rest) = stat.rsplit_once(')')?;
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let ticks = |n: usize| fields.get(n)?.parse::<u64>().ok();
        // utime and stime, then those of children that were waited for.
        let all = ticks(11)? + ticks(12)? + ticks(13)? + ticks(14)?;
        Some(Self {
            state: fields.first()?.chars().next()?,
            parent: fields.get(1)?.parse().ok()?,
            processor: Duration::from_millis(all * 1000 / TICKS_PER_SECOND),
        })
    }
}

/// Returns these processes and all their descendants.
fn with_children(programs: &[u32]) -> Vec<u32> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.parse().ok());
        if let Some((pid, stat)) = pid.and_then(|pid| Some((pid, Stat::read(pid)?))) {
            children.entry(stat.parent).or_default().push(pid);
        }
    }
    let mut all = programs.to_vec();
    let mut next = 0;
    while let Some(pid) = all.get(next) {
        all.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_may_contain_any_character() {
        let stat = Stat::parse("7 (a ) b) S 3 7 7 0 -1 4194560 9 0 0 0 150 50 20 5 20 0").unwrap();
        assert_eq!((stat.state, stat.parent), ('S', 3));
        assert_eq!(stat.processor, Duration::from_millis(2250));
    }
}
