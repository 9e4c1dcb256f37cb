//! The size of the measurements, and the installations under test.

use std::{path::PathBuf, time::Duration};

use media_testkit::{
    bytes::write_large,
    cluster::{Cluster, PREFIX, Program},
    nginx::Nginx,
    programs,
    service::{Installation, Service},
    wait_until,
};
use tempfile::TempDir;

use crate::{api::Api, measure, measurement::Run};

/// The longest time until the collector has removed deleted objects; it runs every five seconds.
const COLLECT_LIMIT: Duration = Duration::from_mins(1);

/// The size of the measurements.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Environment {
    /// The number of runs of each side.
    pub(crate) runs: usize,
    /// The size of a large file in bytes.
    pub(crate) size: u64,
    /// Whether everything else is smaller, too.
    pub(crate) quick: bool,
    /// Whether the competitors from npm are measured, too.
    pub(crate) competitors: bool,
}

impl Environment {
    /// Returns the environment of scenarios that take long: with one run of each side in quick mode.
    pub(crate) fn in_few_runs(self) -> Self {
        let runs = self.quick_or(1, self.runs);
        Self { runs, ..self }
    }

    /// Selects a value by the mode.
    pub(crate) fn quick_or<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Whether imported media stay until the end. In quick mode they are small, and waiting for the collector
    /// takes too long.
    fn is_kept(&self) -> bool {
        self.quick
    }

    /// Returns the size of a large file for the name of a measurement.
    pub(crate) fn large(&self) -> String {
        size_name(self.size)
    }

    /// Adds a large file to an origin and returns its name.
    pub(crate) fn add_large(&self, nginx: &Nginx) -> &'static str {
        write_large(&nginx.path("large"), self.size >> 20);
        "large"
    }

    /// Runs one side after a warm-up run that is not counted.
    pub(crate) async fn repeat(&self, mut ours: impl AsyncFnMut() -> Run) -> Vec<Run> {
        ours().await;
        let mut runs = Vec::new();
        for _ in 0..self.runs {
            runs.push(ours().await);
        }
        runs
    }

    /// Runs both sides alternately after one warm-up run of each; each goes first equally often.
    pub(crate) async fn alternate(
        &self,
        mut ours: impl AsyncFnMut() -> Run,
        mut theirs: impl AsyncFnMut() -> Run,
    ) -> (Vec<Run>, Vec<Run>) {
        ours().await;
        theirs().await;
        self.alternate_cold(ours, theirs).await
    }

    /// Runs both sides alternately without warm-up runs.
    pub(crate) async fn alternate_cold(
        &self,
        mut ours: impl AsyncFnMut() -> Run,
        mut theirs: impl AsyncFnMut() -> Run,
    ) -> (Vec<Run>, Vec<Run>) {
        let mut runs = (Vec::new(), Vec::new());
        for number in 0..self.runs {
            if number % 2 == 0 {
                runs.0.push(ours().await);
                runs.1.push(theirs().await);
            } else {
                runs.1.push(theirs().await);
                runs.0.push(ours().await);
            }
        }
        runs
    }
}

/// Formats a size for people.
pub(crate) fn size_name(bytes: u64) -> String {
    let mebibytes = bytes >> 20;
    if mebibytes.is_multiple_of(1024) {
        format!("{} GiB", mebibytes >> 10)
    } else {
        format!("{mebibytes} MiB")
    }
}

/// Returns keys that no other run uses.
pub(crate) fn new_keys(count: usize) -> Vec<String> {
    let run = uuid::Uuid::now_v7().simple();
    (0..count).map(|number| format!("{run}-{number}")).collect()
}

/// A directory for the files of a baseline.
pub(crate) struct WorkDirectory(TempDir);

impl WorkDirectory {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    /// Returns the path of a file in the directory.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Waits until the file system has written everything to the disk.
    pub(crate) async fn sync(&self) {
        measure::sync(self.0.path()).await;
    }

    pub(crate) fn clear(&self) {
        for entry in std::fs::read_dir(self.0.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}

/// `media`: the whole service in one process, on a directory and SQLite.
pub(crate) struct Standalone {
    pub(crate) api: Api,
    /// The memory before the first request, in bytes.
    pub(crate) idle: u64,
    service: Service,
    installation: Installation,
}

impl Standalone {
    /// Starts an empty service.
    pub(crate) async fn start() -> Self {
        let program = programs::path("media");
        let installation = Installation::new(program.to_str().unwrap()).with("RUST_LOG", "error");
        let service = installation.serve().await;
        Self {
            api: Api::of_service(&service),
            idle: measure::memory_now(&[service.pid()]),
            service,
            installation,
        }
    }

    pub(crate) fn pids(&self) -> [u32; 1] {
        [self.service.pid()]
    }

    /// Deletes the media with these keys, and waits until storage is empty.
    pub(crate) async fn clear(&self, environment: &Environment, keys: &[String]) {
        if environment.is_kept() {
            return;
        }
        self.api.delete(keys).await;
        wait_until("storage is empty", COLLECT_LIMIT, async || {
            self.installation.stored_files().is_empty().then_some(())
        })
        .await;
    }
}

/// `media-api` and `media-worker` on a durable PostgreSQL, Redis and S3.
pub(crate) struct TwoPrograms {
    pub(crate) api: Api,
    /// The memory of both before the first request, in bytes.
    pub(crate) idle: u64,
    /// The memory of the worker before the first request, in bytes.
    pub(crate) worker_idle: u64,
    pub(crate) cluster: Cluster,
    programs: [Program; 2],
}

impl TwoPrograms {
    /// Starts both programs on empty dependencies.
    pub(crate) async fn start() -> Self {
        let cluster = Cluster::start_durable().await.with("RUST_LOG", "error");
        let programs = [cluster.api("api").await, cluster.worker("worker").await];
        let pids = [&programs[0], &programs[1]].map(|program| program.process().pid());
        Self {
            api: Api::of_program(&programs[0]),
            idle: measure::memory_now(&pids),
            worker_idle: measure::memory_now(&pids[1..]),
            cluster,
            programs,
        }
    }

    /// Deletes the media with these keys, and waits until the bucket is empty.
    pub(crate) async fn clear(&self, environment: &Environment, keys: &[String]) {
        if environment.is_kept() {
            return;
        }
        self.api.delete(keys).await;
        wait_until("the bucket is empty", COLLECT_LIMIT, async || {
            let objects = self.cluster.seaweed.objects(PREFIX).await;
            objects.is_empty().then_some(())
        })
        .await;
    }

    /// Returns the process id of the worker.
    pub(crate) fn worker(&self) -> u32 {
        self.programs[1].process().pid()
    }

    pub(crate) fn pids(&self) -> [u32; 2] {
        [&self.programs[0], &self.programs[1]].map(|program| program.process().pid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_sides_go_first_equally_often() {
        let order = std::cell::RefCell::new(String::new());
        let side = |name: char| {
            let order = &order;
            async move || {
                order.borrow_mut().push(name);
                Run {
                    value: 1.0,
                    cost: None,
                }
            }
        };
        let environment = Environment {
            runs: 4,
            size: 1,
            quick: true,
            competitors: false,
        };
        let (ours, theirs) = environment.alternate(side('o'), side('t')).await;
        assert_eq!((ours.len(), theirs.len()), (4, 4));
        assert_eq!(order.into_inner(), "ototto".to_owned() + "otto");
    }

    #[test]
    fn sizes_are_formatted_in_binary_units() {
        assert_eq!(size_name(1 << 30), "1 GiB");
        assert_eq!(size_name(128 << 20), "128 MiB");
    }
}
