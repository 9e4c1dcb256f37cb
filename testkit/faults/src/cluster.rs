//! The fault run on PostgreSQL, Redis and SeaweedFS, with two APIs and three workers.

#![allow(
    clippy::print_stdout,
    reason = "a run says what it does while it does it"
)]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use media_testkit::{
    cluster::{Cluster, Program},
    free_address, wait_until,
};
use rand::{RngExt as _, rngs::StdRng, seq::SliceRandom as _};
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
    tables,
    tally::Tally,
};

const WORKER_COUNT: usize = 3;
/// The number of attempts to freeze a worker that holds jobs.
const FREEZE_TRIES: usize = 20;
/// The longest outage of the origin, if no import notices it.
const ORIGIN_OUTAGE_LIMIT: Duration = Duration::from_secs(20);
/// The time of two heartbeats.
const TWO_HEARTBEATS: Duration = Duration::from_secs(2);
/// The time after which other workers have taken over the jobs of killed workers.
const TAKEOVER_LIMIT: Duration = Duration::from_secs(30);
/// Counts jobs whose worker has missed two heartbeats.
const SILENT_JOBS: &str = "SELECT count(*) FROM jobs WHERE status = 'running' \
    AND lease_until < now() + interval '3.2 s'";

const ALL: [Fault; 11] = [
    Fault::KillWorker,
    Fault::KillApi,
    Fault::FreezeWorker,
    Fault::FreezeApi,
    Fault::StopWorker,
    Fault::StopApi,
    Fault::FlushRedis,
    Fault::KillRedis,
    Fault::RestartDatabase,
    Fault::StopStore,
    Fault::StopOrigin,
];

/// Runs the faults beside the load and returns the report.
pub(crate) async fn run(run: FaultRun, mut random: StdRng) -> Report {
    let mut cluster = Cluster::start()
        .await
        .with("MEDIA_LEASE", LEASE)
        .with("MEDIA_SHUTDOWN_GRACE", "1s")
        .with("MEDIA_WORKER_CONCURRENCY", "8");
    if run.pooler {
        cluster = cluster.behind_pgbouncer();
    }
    for (name, value) in client::variables() {
        cluster = cluster.with(name, value);
    }
    let origin = Arc::new(Origin::fill(&cluster.origin, &mut random));
    let client = Client::new(&[free_address(), free_address()]);
    let load = Load::new(&client, &origin, run.jobs, run.rate, &mut random);

    let mut chaos = Chaos::start(&cluster, client.addresses(), random).await;
    // The jobs that are pending when the first worker starts must be taken in order.
    load.post_backlog().await;
    chaos.start_workers(&cluster).await;
    let clients = Clients::start(&client, &origin, run.seed);
    let (posted, faults) = tokio::join!(
        load.post_all(),
        chaos.run_beside(&load, &mut cluster, run.store_outage)
    );
    let report = conclude::conclude(Run {
        settings: run,
        client: &client,
        origin: &origin,
        posted,
        done: clients.finish().await,
        faults,
        file_calls: Tally::default(),
        observed: &|| chaos.observed(),
        database_url: &cluster.database_url(),
        storage: &Storage::Bucket(&cluster.seaweed),
        logs: &cluster.logs(),
    })
    .await;
    chaos.stop();
    report
}

/// The programs under test and the source of faults.
struct Chaos {
    apis: Vec<Program>,
    workers: Vec<Program>,
    addresses: Vec<String>,
    random: StdRng,
    started: usize,
    scraper: Scraper,
}

impl Chaos {
    /// Starts the APIs.
    async fn start(cluster: &Cluster, addresses: &[String], random: StdRng) -> Self {
        let mut chaos = Self {
            apis: Vec::new(),
            workers: Vec::new(),
            addresses: addresses.to_vec(),
            random,
            started: 0,
            scraper: Scraper::start(),
        };
        for address in addresses {
            let api = cluster.launch_api(&chaos.name("api"), address);
            api.ready().await;
            chaos.scraper.add(&api);
            chaos.apis.push(api);
        }
        chaos
    }

    /// Starts the workers.
    async fn start_workers(&mut self, cluster: &Cluster) {
        for _ in 0..WORKER_COUNT {
            let worker = cluster.worker(&self.name("worker")).await;
            self.scraper.add(&worker);
            self.workers.push(worker);
        }
    }

    fn name(&mut self, kind: &str) -> String {
        self.started += 1;
        format!("{kind}-{}", self.started)
    }

    /// Makes each fault once in random order, and repeats that until the load has ended. All programs run at
    /// the end.
    async fn run_beside(
        &mut self,
        load: &Load,
        cluster: &mut Cluster,
        store_outage: Duration,
    ) -> Faults {
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
                self.commit(fault, cluster, store_outage).await;
                faults.add(fault, began, SystemTime::now());
            }
            rounds += 1;
            load.all_faults_made();
        }
        for program in self.apis.iter().chain(&self.workers) {
            program.ready().await;
        }
        faults
    }

    async fn commit(&mut self, fault: Fault, cluster: &mut Cluster, store_outage: Duration) {
        match fault {
            Fault::KillWorker => {
                let worker = self.take_worker();
                worker.kill();
                self.pause(100..2000).await;
                self.replace_worker(cluster);
            }
            Fault::StopWorker => {
                let worker = self.take_worker();
                // As in a rolling update, the new worker starts before the old one has ended.
                self.replace_worker(cluster);
                worker.process().signal("-TERM");
                stop(worker).await;
            }
            Fault::FreezeWorker => self.freeze_worker(cluster).await,
            Fault::KillApi | Fault::StopApi => self.restart_api(fault, cluster).await,
            Fault::FreezeApi => {
                let index = self.random.random_range(0..self.apis.len());
                self.apis[index].process().signal("-STOP");
                self.pause(1000..4000).await;
                self.apis[index].process().signal("-CONT");
            }
            Fault::FlushRedis => {
                cluster.redis.command(&["FLUSHALL"]);
            }
            Fault::KillRedis => {
                cluster.redis.kill();
                self.pause(1000..5000).await;
                cluster.redis.restart().await;
            }
            Fault::RestartDatabase => {
                cluster.postgres.stop();
                self.pause(500..3000).await;
                cluster.postgres.restart();
            }
            Fault::StopStore => {
                cluster.seaweed.stop();
                let third = store_outage / 3;
                sleep(third).await;
                // During the outage, workers are full of unfinished writes.
                self.take_worker().kill();
                sleep(third).await;
                self.replace_worker(cluster);
                sleep(third).await;
                cluster.seaweed.restart().await;
            }
            Fault::StopOrigin => {
                cluster.origin.stop();
                // Waits until an import has noticed the outage.
                let end = Instant::now() + ORIGIN_OUTAGE_LIMIT;
                self.pause(500..4000).await;
                while !self.observed().show(fault) && Instant::now() < end {
                    self.pause(100..200).await;
                }
                cluster.origin.restart().await;
            }
            _ => unreachable!("{fault:?} is not of this mode"),
        }
    }

    /// Freezes a worker that holds jobs for longer than their lease and another worker's takeover.
    async fn freeze_worker(&mut self, cluster: &Cluster) {
        let database = sea_orm::Database::connect(cluster.database_url())
            .await
            .unwrap();
        for _ in 0..FREEZE_TRIES {
            // Jobs of killed workers do not count as jobs of the frozen one.
            wait_until("no job lacks heartbeats", TAKEOVER_LIMIT, async || {
                (tables::count(&database, SILENT_JOBS, []).await == 0).then_some(())
            })
            .await;
            let index = self.random.random_range(0..self.workers.len());
            self.workers[index].process().signal("-STOP");
            sleep(TWO_HEARTBEATS).await;
            if tables::count(&database, SILENT_JOBS, []).await > 0 {
                self.pause(7000..10_000).await;
                self.workers[index].process().signal("-CONT");
                return;
            }
            self.workers[index].process().signal("-CONT");
            sleep(TWO_HEARTBEATS).await;
        }
    }

    async fn restart_api(&mut self, fault: Fault, cluster: &Cluster) {
        let index = self.random.random_range(0..self.apis.len());
        let api = self.apis.remove(index);
        if fault == Fault::KillApi {
            api.kill();
            self.pause(100..1000).await;
        } else {
            stop(api).await;
        }
        let address = self.addresses[index].clone();
        let api = cluster.launch_api(&self.name("api"), &address);
        self.scraper.add(&api);
        self.apis.insert(index, api);
    }

    fn take_worker(&mut self) -> Program {
        let index = self.random.random_range(0..self.workers.len());
        self.workers.remove(index)
    }

    fn replace_worker(&mut self, cluster: &Cluster) {
        let worker = cluster.launch_worker(&self.name("worker"));
        self.scraper.add(&worker);
        self.workers.push(worker);
    }

    async fn pause(&mut self, milliseconds: std::ops::Range<u64>) {
        let milliseconds = self.random.random_range(milliseconds);
        sleep(Duration::from_millis(milliseconds)).await;
    }

    /// Returns the metrics so far.
    fn observed(&self) -> Observed {
        self.scraper.observed()
    }

    fn stop(self) {
        for program in self.apis.into_iter().chain(self.workers) {
            program.stop();
        }
    }
}

/// Waits for a program to end without blocking the load.
async fn stop(program: Program) {
    tokio::task::spawn_blocking(|| program.stop())
        .await
        .unwrap();
}
