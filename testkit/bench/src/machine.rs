//! The description of the machine and of the measured software.

use std::{fs, process::Command};

use serde_json::{Map, Value, json};

/// The commands that print the versions of baselines and servers.
const VERSIONS: [(&str, &[&str]); 7] = [
    ("rclone", &["rclone", "version"]),
    ("aria2c", &["aria2c", "--version"]),
    ("curl", &["curl", "--version"]),
    ("nginx", &["/usr/sbin/nginx", "-v"]),
    ("redis", &["redis-server", "--version"]),
    ("postgresql", &["psql", "--version"]),
    ("seaweedfs", &["target/clients/python/bin/weed", "version"]),
];

/// Describes the machine, its current load and the versions of the measured software; unknown values are
/// null.
pub(crate) fn describe() -> Value {
    let versions: Map<String, Value> = VERSIONS
        .iter()
        .map(|(name, command)| ((*name).to_owned(), json!(first_line(command))))
        .collect();
    let about = |file: &str, key: &str| {
        let text = fs::read_to_string(file).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(key))?;
        Some(line.trim_start_matches([' ', '\t', ':']).trim().to_owned())
    };
    json!({
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "processor": about("/proc/cpuinfo", "model name"),
        "memory": about("/proc/meminfo", "MemTotal"),
        "kernel": about("/proc/sys/kernel/osrelease", ""),
        "load_before": about("/proc/loadavg", ""),
        "commit": first_line(&["git", "rev-parse", "--short", "HEAD"]),
        "versions": versions,
    })
}

fn first_line(command: &[&str]) -> Option<String> {
    let (program, arguments) = command.split_first()?;
    let output = Command::new(program).args(arguments).output().ok()?;
    // nginx prints its version to standard error.
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    said.lines().next().map(|line| line.trim().to_owned())
}
