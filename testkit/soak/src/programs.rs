//! Memory and connections of the programs, sampled during the soak.

use std::{fs, time::Duration};

use media_testkit::cluster::Program;
use tokio::{sync::oneshot, task::JoinHandle, time::sleep};

const SAMPLE_INTERVAL: Duration = Duration::from_secs(1);
/// The state of an established connection in `/proc/net/tcp` (proc(5)).
const ESTABLISHED: &str = "01";

/// The peaks of the programs.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Peaks {
    /// In bytes.
    pub(crate) api_memory: u64,
    pub(crate) worker_memory: u64,
    /// Concurrent connections to the API.
    pub(crate) connections: usize,
}

/// Samples the programs in a task of its own.
pub(crate) struct Watch {
    end: oneshot::Sender<()>,
    task: JoinHandle<Peaks>,
}

impl Watch {
    pub(crate) fn start(api: &Program, worker: &Program) -> Self {
        let (end, mut ended) = oneshot::channel();
        let [api_pid, worker_pid] = [api, worker].map(|program| program.process().pid());
        let port = api.url("").rsplit(':').next().unwrap().parse().unwrap();
        let task = tokio::spawn(async move {
            let mut peaks = Peaks::default();
            loop {
                peaks.api_memory = peak_memory(api_pid);
                peaks.worker_memory = peak_memory(worker_pid);
                peaks.connections = peaks.connections.max(connections(port));
                tokio::select! {
                    _ = &mut ended => return peaks,
                    () = sleep(SAMPLE_INTERVAL) => {}
                }
            }
        });
        Self { end, task }
    }

    pub(crate) async fn finish(self) -> Peaks {
        let _ = self.end.send(());
        self.task.await.unwrap()
    }
}

fn peak_memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kibibytes * 1024
}

/// Counts the established connections with this local port.
fn connections(port: u16) -> usize {
    let suffix = format!(":{port:04X}");
    let table = fs::read_to_string("/proc/net/tcp").unwrap();
    let is_of_port = |line: &&str| {
        let mut fields = line.split_whitespace().skip(1);
        let (local, _, state) = (fields.next(), fields.next(), fields.next());
        local.is_some_and(|local| local.ends_with(&suffix)) && state == Some(ESTABLISHED)
    };
    table.lines().filter(is_of_port).count()
}
