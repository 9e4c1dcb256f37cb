//! How much is measured, and of which installations.

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

/// How long the collector may take to remove what was deleted: it comes every five seconds.
const COLLECT_LIMIT: Duration = Duration::from_mins(1);

/// How much is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Environment {
    /// How many runs of each side.
    pub(crate) runs: usize,
    /// How many bytes a large file has.
    pub(crate) size: u64,
    /// Whether everything else is smaller, too.
    pub(crate) quick: bool,
    /// Whether what comes from npm is measured, too.
    pub(crate) competitors: bool,
}

impl Environment {
    /// For what takes long: one run of each side if it has to be quick.
    pub(crate) fn in_few_runs(self) -> Self {
        let runs = self.quick_or(1, self.runs);
        Self { runs, ..self }
    }

    /// One of two, by whether it has to be quick.
    pub(crate) fn quick_or<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }

    /// Whether what was imported stays until the end: where it is small and time is short, as the collector
    /// comes every five seconds.
    fn is_kept(&self) -> bool {
        self.quick
    }

    /// A large file, as the measurements call it.
    pub(crate) fn large(&self) -> String {
        size_name(self.size)
    }

    /// Adds a large file to an origin; returns its name.
    pub(crate) fn add_large(&self, nginx: &Nginx) -> &'static str {
        write_large(&nginx.path("large"), self.size >> 20);
        "large"
    }

    /// Runs one side that has no other, after one run that does not count.
    pub(crate) async fn repeat(&self, mut ours: impl AsyncFnMut() -> Run) -> Vec<Run> {
        ours().await;
        let mut runs = Vec::new();
        for _ in 0..self.runs {
            runs.push(ours().await);
        }
        runs
    }

    /// Runs both sides in turn, each first as often as the other, after one run of each that does not
    /// count.
    pub(crate) async fn alternate(
        &self,
        mut ours: impl AsyncFnMut() -> Run,
        mut theirs: impl AsyncFnMut() -> Run,
    ) -> (Vec<Run>, Vec<Run>) {
        ours().await;
        theirs().await;
        self.alternate_cold(ours, theirs).await
    }

    /// The same, for what a first run does not warm.
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

/// A number of bytes as people say it.
pub(crate) fn size_name(bytes: u64) -> String {
    let mebibytes = bytes >> 20;
    if mebibytes.is_multiple_of(1024) {
        format!("{} GiB", mebibytes >> 10)
    } else {
        format!("{mebibytes} MiB")
    }
}

/// Keys that no other run has: so many.
pub(crate) fn new_keys(count: usize) -> Vec<String> {
    let run = uuid::Uuid::now_v7().simple();
    (0..count).map(|number| format!("{run}-{number}")).collect()
}

/// A directory for what a baseline fetches.
pub(crate) struct WorkDirectory(TempDir);

impl WorkDirectory {
    /// A new one.
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    /// A file there.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Waits until the disk is idle.
    pub(crate) async fn settle(&self) {
        measure::settle(self.0.path()).await;
    }

    /// Removes all files.
    pub(crate) fn clear(&self) {
        for entry in std::fs::read_dir(self.0.path()).unwrap() {
            std::fs::remove_file(entry.unwrap().path()).unwrap();
        }
    }
}

/// `media`: the whole service in one process, on disk and SQLite.
pub(crate) struct Standalone {
    pub(crate) api: Api,
    /// Its memory before it had done anything, in bytes.
    pub(crate) idle: u64,
    service: Service,
    installation: Installation,
}

impl Standalone {
    /// Starts it, with nothing in it.
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

    /// Its process.
    pub(crate) fn pids(&self) -> [u32; 1] {
        [self.service.pid()]
    }

    /// Deletes what was imported under these keys, and waits until storage is empty.
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

/// `media-api` and `media-worker` on PostgreSQL, as durable as in production, Redis and S3.
pub(crate) struct TwoPrograms {
    pub(crate) api: Api,
    /// The memory of both before they had done anything, in bytes.
    pub(crate) idle: u64,
    /// That of the worker alone.
    pub(crate) worker_idle: u64,
    pub(crate) cluster: Cluster,
    programs: [Program; 2],
}

impl TwoPrograms {
    /// Starts them, with nothing in them.
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

    /// Deletes what was imported under these keys, and waits until the bucket has nothing of it.
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

    /// The worker's process.
    pub(crate) fn worker(&self) -> u32 {
        self.programs[1].process().pid()
    }

    /// Their processes.
    pub(crate) fn pids(&self) -> [u32; 2] {
        [&self.programs[0], &self.programs[1]].map(|program| program.process().pid())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn both_sides_are_first_equally_often() {
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
    fn sizes_are_called_by_their_names() {
        assert_eq!(size_name(1 << 30), "1 GiB");
        assert_eq!(size_name(128 << 20), "128 MiB");
    }
}
