//! The fault run of `media serve` on SQLite and a directory.

#![allow(
    clippy::print_stdout,
    reason = "a run says what it does while it does it"
)]

use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, SystemTime},
};

use media_testkit::{
    cluster::Program,
    file_faults::{Area, Calls, FileError, FileFaults},
    free_address,
    nginx::Nginx,
    process::Launch,
    programs, tempdir,
};
use rand::{RngExt as _, rngs::StdRng, seq::SliceRandom as _};
use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::{
    client::{self, Client},
    clients::Clients,
    conclude::{self, Run},
    fault::{Fault, Faults},
    imports::Load,
    origin::Origin,
    report::Report,
    run_config::{FaultRun, LEASE},
    scrape::{Observed, Scraper},
    storage::Storage,
    tally::Tally,
};

const ALL: [Fault; 8] = [
    Fault::KillService,
    Fault::FreezeService,
    Fault::StopService,
    Fault::StopOrigin,
    Fault::FailFiles(Area::Database, FileError::Io),
    Fault::FailFiles(Area::Database, FileError::NoSpace),
    Fault::FailFiles(Area::Blobs, FileError::Io),
    Fault::FailFiles(Area::Blobs, FileError::NoSpace),
];
/// The longest outage of the origin, if no import notices it.
const ORIGIN_OUTAGE_LIMIT: Duration = Duration::from_secs(20);
/// The shortest time during which calls fail.
const MIN_FILE_FAULT_TIME: Duration = Duration::from_secs(1);
/// The longest time during which calls fail, if no matching call is made.
const MAX_FILE_FAULT_TIME: Duration = Duration::from_secs(10);
/// The sets of calls that fail, chosen at random.
const CALLS: [Calls; 4] = [Calls::ALL, Calls::ALL, Calls::WRITES, Calls::SYNCS];
/// The probabilities of a failure in 1/10,000, chosen at random.
const CHANCES: [u32; 4] = [200, 1_000, 4_000, 10_000];

/// Runs the faults beside the load and returns the report.
pub(crate) async fn run(run: FaultRun, mut random: StdRng) -> Report {
    let mut nginx = Nginx::start().await;
    let origin = Arc::new(Origin::fill(&nginx, &mut random));
    let client = Client::new(&[free_address()]);
    let load = Load::new(&client, &origin, run.jobs, run.rate, &mut random);

    let installation = Installation::new(client.addresses()[0].clone());
    let mut chaos = Chaos::start(&installation, random).await;
    load.post_backlog().await;
    let clients = Clients::start(&client, &origin, run.seed);
    let (posted, faults) = tokio::join!(load.post_all(), chaos.run_beside(&load, &mut nginx));
    let report = conclude::conclude(Run {
        settings: run,
        client: &client,
        origin: &origin,
        posted,
        done: clients.finish().await,
        faults,
        file_calls: tally_of(&installation.files),
        observed: &|| chaos.observed(),
        database_url: &installation.database_url(),
        storage: &Storage::Directory(installation.blobs()),
        logs: &installation.logs(),
    })
    .await;
    chaos.stop();
    report
}

/// The data directory and the configuration of the service.
struct Installation {
    directory: TempDir,
    address: String,
    files: FileFaults,
}

impl Installation {
    fn new(address: String) -> Self {
        let directory = tempdir::create();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let files = FileFaults::prepare(
            directory.path(),
            &data.join("media.db"),
            &data.join("blobs"),
        );
        Self {
            directory,
            address,
            files,
        }
    }

    fn blobs(&self) -> PathBuf {
        self.directory.path().join("data/blobs")
    }

    fn database_url(&self) -> String {
        let database = self.directory.path().join("data/media.db");
        format!("sqlite://{}", database.display())
    }

    /// Returns the directory of the service's logs: `$TESTKIT_LOGS`, which is kept, or a temporary one.
    fn logs(&self) -> PathBuf {
        let kept = std::env::var_os("TESTKIT_LOGS").map(PathBuf::from);
        kept.unwrap_or_else(|| self.directory.path().into())
    }

    fn launch(&self, name: &str) -> Program {
        let mut launch = Launch::new(programs::path("media"), &["serve"])
            .bare()
            .directory(self.directory.path())
            .log(&self.logs().join(format!("{name}.log")))
            .variable("MEDIA_LISTEN", &self.address)
            .variable("DATABASE_URL", &self.database_url())
            .variable(
                "MEDIA_STORAGE_URL",
                &format!("file:{}", self.blobs().display()),
            )
            .variable("MEDIA_EGRESS_ALLOW", "127.0.0.1/32")
            .variable("MEDIA_LEASE", LEASE)
            .variable("MEDIA_SHUTDOWN_GRACE", "1s");
        for (name, value) in client::variables() {
            launch = launch.variable(name, value);
        }
        for (name, value) in self.files.variables() {
            launch = launch.variable(name, &value);
        }
        Program::new(name, launch.start(), &self.address)
    }
}

/// Counts the calls that have failed, by area and call.
fn tally_of(files: &FileFaults) -> Tally {
    let mut tally = Tally::default();
    for (call, count) in files.failed_calls() {
        tally.add_many(&call, count);
    }
    tally
}

/// The service under test and the source of faults.
struct Chaos<'a> {
    installation: &'a Installation,
    service: Option<Program>,
    random: StdRng,
    started: usize,
    scraper: Scraper,
}

impl<'a> Chaos<'a> {
    async fn start(installation: &'a Installation, random: StdRng) -> Self {
        let mut chaos = Self {
            installation,
            service: None,
            random,
            started: 0,
            scraper: Scraper::start(),
        };
        chaos.launch().await;
        chaos
    }

    /// Starts the service and waits until it is ready.
    async fn launch(&mut self) {
        self.started += 1;
        let service = self
            .installation
            .launch(&format!("service-{}", self.started));
        service.ready().await;
        self.scraper.add(&service);
        self.service = Some(service);
    }

    /// Makes each fault once in random order, and repeats that until the load has ended. The service runs at
    /// the end.
    async fn run_beside(&mut self, load: &Load, origin: &mut Nginx) -> Faults {
        let mut faults = Faults::none_of(&ALL);
        let mut rounds = 0;
        while rounds == 0 || !load.is_done() {
            let mut order = ALL;
            order.shuffle(&mut self.random);
            for fault in order {
                // The first round is always complete.
                if rounds > 0 && load.is_done() {
                    break;
                }
                self.pause(500..2000).await;
                println!("  {fault}");
                let began = SystemTime::now();
                self.commit(fault, origin).await;
                faults.add(fault, began, SystemTime::now());
            }
            rounds += 1;
            load.all_faults_made();
        }
        faults
    }

    async fn commit(&mut self, fault: Fault, origin: &mut Nginx) {
        match fault {
            Fault::KillService => {
                self.service.take().unwrap().kill();
                self.pause(100..1000).await;
                self.launch().await;
            }
            Fault::StopService => {
                let service = self.service.take().unwrap();
                tokio::task::spawn_blocking(|| service.stop())
                    .await
                    .unwrap();
                self.launch().await;
            }
            Fault::FreezeService => {
                self.signal("-STOP");
                // Both shorter and longer than a lease.
                self.pause(2000..8000).await;
                self.signal("-CONT");
            }
            Fault::StopOrigin => {
                origin.stop();
                // Waits until an import has noticed the outage; the metrics of a killed service would not
                // show it.
                let end = Instant::now() + ORIGIN_OUTAGE_LIMIT;
                self.pause(500..4000).await;
                while !self.observed().show(fault) && Instant::now() < end {
                    self.pause(100..200).await;
                }
                origin.restart().await;
            }
            Fault::FailFiles(area, error) => self.fail_files(area, error).await,
            _ => unreachable!("{fault:?} is not of this mode"),
        }
    }

    /// Makes calls fail for a while, until at least one has failed if any is made. Afterwards the service
    /// must recover by itself.
    async fn fail_files(&mut self, area: Area, error: FileError) {
        let files = &self.installation.files;
        let before = files.failed(area);
        let chance = CHANCES[self.random.random_range(0..CHANCES.len())];
        let calls = CALLS[self.random.random_range(0..CALLS.len())];
        files.begin(area, error, calls, chance);
        let start = Instant::now();
        loop {
            self.pause(500..1500).await;
            let elapsed = start.elapsed();
            let has_failed = files.failed(area) > before;
            if elapsed >= MAX_FILE_FAULT_TIME || (elapsed >= MIN_FILE_FAULT_TIME && has_failed) {
                break;
            }
        }
        files.end();
        self.service.as_ref().unwrap().ready().await;
    }

    fn signal(&self, signal: &str) {
        self.service.as_ref().unwrap().process().signal(signal);
    }

    async fn pause(&mut self, milliseconds: std::ops::Range<u64>) {
        let milliseconds = self.random.random_range(milliseconds);
        sleep(Duration::from_millis(milliseconds)).await;
    }

    fn observed(&self) -> Observed {
        self.scraper.observed()
    }

    fn stop(self) {
        if let Some(service) = self.service {
            service.stop();
        }
    }
}
