//! The run on PostgreSQL, Redis and SeaweedFS, with two APIs and three workers.

#![allow(
    clippy::print_stdout,
    reason = "a run says what it does while it does it"
)]

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use rand::{RngExt as _, rngs::StdRng, seq::SliceRandom as _};
use tokio::time::{Instant, sleep};

use super::{
    FaultRun, LEASE, Report,
    client::{self, Client},
    clients::Clients,
    conclude::{self, Run},
    fault::{Fault, Faults},
    imports::Load,
    origin::Origin,
    scrape::{Scraper, Seen},
    storage::Storage,
    tally::Tally,
};
use crate::production::{Production, Program, free_address};

const WORKERS: usize = 3;
/// How often a worker is frozen until one is found that holds jobs.
const FREEZE_TRIES: usize = 20;
/// How long the origin is away at most, if no import meets it.
const ORIGIN_OUTAGE_LIMIT: Duration = Duration::from_secs(20);
/// Two heartbeats.
const SILENCE: Duration = Duration::from_secs(2);
/// By then the jobs of workers that were killed are others'.
const SILENT_LIMIT: Duration = Duration::from_secs(30);
/// Jobs of a worker that has been silent for nearly as long.
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

/// Runs, and says what happened.
pub(super) async fn run(run: FaultRun, mut random: StdRng) -> Report {
    let mut production = Production::start()
        .await
        .with("MEDIA_LEASE", LEASE)
        .with("MEDIA_SHUTDOWN_GRACE", "1s")
        .with("MEDIA_WORKER_CONCURRENCY", "8");
    if run.pooler {
        production = production.behind_pgbouncer();
    }
    for (name, value) in client::variables() {
        production = production.with(name, value);
    }
    let origin = Arc::new(Origin::fill(&production.origin, &mut random));
    let client = Client::new(&[free_address(), free_address()]);
    let load = Load::new(&client, &origin, run.jobs, run.rate, &mut random);

    let mut chaos = Chaos::start(&production, client.addresses(), random).await;
    // Jobs that wait before the first worker starts must be taken in order.
    load.post_backlog().await;
    chaos.start_workers(&production).await;
    let clients = Clients::start(&client, &origin, run.seed);
    let (posted, faults) = tokio::join!(
        load.post_all(),
        chaos.run_beside(&load, &mut production, run.store_outage)
    );
    let report = conclude::conclude(Run {
        settings: run,
        client: &client,
        origin: &origin,
        posted,
        done: clients.finish().await,
        faults,
        file_calls: Tally::default(),
        seen: &|| chaos.seen(),
        database_url: &production.database_url(),
        storage: &Storage::Bucket(&production.seaweed),
        logs: &production.logs(),
    })
    .await;
    chaos.stop();
    report
}

/// Makes faults.
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
    async fn start(production: &Production, addresses: &[String], random: StdRng) -> Self {
        let mut chaos = Self {
            apis: Vec::new(),
            workers: Vec::new(),
            addresses: addresses.to_vec(),
            random,
            started: 0,
            scraper: Scraper::start(),
        };
        for address in addresses {
            let api = production.launch_api(&chaos.name("api"), address);
            api.ready().await;
            chaos.scraper.add(&api);
            chaos.apis.push(api);
        }
        chaos
    }

    /// Starts the workers.
    async fn start_workers(&mut self, production: &Production) {
        for _ in 0..WORKERS {
            let worker = production.worker(&self.name("worker")).await;
            self.scraper.add(&worker);
            self.workers.push(worker);
        }
    }

    fn name(&mut self, kind: &str) -> String {
        self.started += 1;
        format!("{kind}-{}", self.started)
    }

    /// Does every fault once, in an order of its own, and again while the load goes on. At the end
    /// everything runs.
    async fn run_beside(
        &mut self,
        load: &Load,
        production: &mut Production,
        store_outage: Duration,
    ) -> Faults {
        let mut faults = Faults::none_of(&ALL);
        let mut rounds = 0;
        while rounds == 0 || !load.is_done() {
            let mut order = ALL;
            order.shuffle(&mut self.random);
            for fault in order {
                // The first round is whole, whatever happens.
                if rounds > 0 && load.is_done() {
                    break;
                }
                self.pause(500..2000).await;
                println!("  {fault}");
                let began = SystemTime::now();
                self.commit(fault, production, store_outage).await;
                faults.add(fault, began, SystemTime::now());
            }
            rounds += 1;
            load.is_enough();
        }
        for program in self.apis.iter().chain(&self.workers) {
            program.ready().await;
        }
        faults
    }

    async fn commit(&mut self, fault: Fault, production: &mut Production, store_outage: Duration) {
        match fault {
            Fault::KillWorker => {
                let worker = self.take_worker();
                worker.kill();
                self.pause(100..2000).await;
                self.replace_worker(production);
            }
            Fault::StopWorker => {
                let worker = self.take_worker();
                // Rolling: the new one starts before the old one has ended.
                self.replace_worker(production);
                worker.process().signal("-TERM");
                stop(worker).await;
            }
            Fault::FreezeWorker => self.freeze_worker(production).await,
            Fault::KillApi | Fault::StopApi => self.restart_api(fault, production).await,
            Fault::FreezeApi => {
                let index = self.random.random_range(0..self.apis.len());
                self.apis[index].process().signal("-STOP");
                self.pause(1000..4000).await;
                self.apis[index].process().signal("-CONT");
            }
            Fault::FlushRedis => {
                production.redis.ask(&["FLUSHALL"]);
            }
            Fault::KillRedis => {
                production.redis.kill();
                self.pause(1000..5000).await;
                production.redis.start_again().await;
            }
            Fault::RestartDatabase => {
                production.postgres.stop();
                self.pause(500..3000).await;
                production.postgres.start_again();
            }
            Fault::StopStore => {
                production.seaweed.stop();
                let third = store_outage / 3;
                sleep(third).await;
                // Its outage is when workers are full of unfinished writes.
                self.take_worker().kill();
                sleep(third).await;
                self.replace_worker(production);
                sleep(third).await;
                production.seaweed.start_again().await;
            }
            Fault::StopOrigin => {
                production.origin.stop();
                // Until an import has met it.
                let end = Instant::now() + ORIGIN_OUTAGE_LIMIT;
                self.pause(500..4000).await;
                while !self.seen().show(fault) && Instant::now() < end {
                    self.pause(100..200).await;
                }
                production.origin.start_again().await;
            }
            _ => unreachable!("{fault:?} is not of this mode"),
        }
    }

    /// Freezes a worker that holds jobs: longer than their lease, and than another worker needs to
    /// take over.
    async fn freeze_worker(&mut self, production: &Production) {
        let database = sea_orm::Database::connect(production.database_url())
            .await
            .unwrap();
        for _ in 0..FREEZE_TRIES {
            // Those of workers that were killed are not this one's.
            crate::wait_until("no job is silent", SILENT_LIMIT, async || {
                (super::tables::count(&database, SILENT_JOBS, []).await == 0).then_some(())
            })
            .await;
            let index = self.random.random_range(0..self.workers.len());
            self.workers[index].process().signal("-STOP");
            sleep(SILENCE).await;
            if super::tables::count(&database, SILENT_JOBS, []).await > 0 {
                self.pause(7000..10_000).await;
                self.workers[index].process().signal("-CONT");
                return;
            }
            self.workers[index].process().signal("-CONT");
            sleep(SILENCE).await;
        }
    }

    async fn restart_api(&mut self, fault: Fault, production: &Production) {
        let index = self.random.random_range(0..self.apis.len());
        let api = self.apis.remove(index);
        if fault == Fault::KillApi {
            api.kill();
            self.pause(100..1000).await;
        } else {
            stop(api).await;
        }
        let address = self.addresses[index].clone();
        let api = production.launch_api(&self.name("api"), &address);
        self.scraper.add(&api);
        self.apis.insert(index, api);
    }

    fn take_worker(&mut self) -> Program {
        let index = self.random.random_range(0..self.workers.len());
        self.workers.remove(index)
    }

    fn replace_worker(&mut self, production: &Production) {
        let worker = production.launch_worker(&self.name("worker"));
        self.scraper.add(&worker);
        self.workers.push(worker);
    }

    async fn pause(&mut self, milliseconds: std::ops::Range<u64>) {
        let milliseconds = self.random.random_range(milliseconds);
        sleep(Duration::from_millis(milliseconds)).await;
    }

    /// The figures so far.
    fn seen(&self) -> Seen {
        self.scraper.seen()
    }

    /// Ends the programs.
    fn stop(self) {
        for program in self.apis.into_iter().chain(self.workers) {
            program.stop();
        }
    }
}

/// Waits for a program to end without holding up the load.
async fn stop(program: Program) {
    tokio::task::spawn_blocking(|| program.stop())
        .await
        .unwrap();
}
