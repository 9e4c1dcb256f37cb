//! The fault run: imports go on while programs and servers are killed, frozen, stopped and
//! restarted. Whatever happened, at the end an independent check of the tables, the bucket and the
//! origin's files must find every promise kept.

use std::{
    fmt,
    time::{Duration, Instant},
};

use rand::{SeedableRng as _, rngs::StdRng};
use sea_orm::{ConnectionTrait as _, DatabaseConnection, Statement};

use crate::{production::Production, wait_until};

mod chaos;
mod check;
mod load;
mod scrape;

use chaos::{Chaos, Fault};
use load::{Load, Origin};

/// How long a worker holds a job in these runs: as short as it can be.
const LEASE: &str = "5s";
/// How long all jobs may take to end once the faults are over: what is left of a back-off, and some.
const SETTLE_LIMIT: Duration = Duration::from_mins(5);
/// How long the collector may take: it looks twice at what was given up, three minutes apart.
const COLLECT_LIMIT: Duration = Duration::from_mins(6);

/// What to run.
#[derive(Clone, Copy, Debug)]
pub struct FaultRun {
    /// From which every choice follows.
    pub seed: u64,
    /// How many imports are posted.
    pub jobs: usize,
    /// How many of them a second.
    pub rate: u32,
    /// For how long the object store is away.
    pub store_outage: Duration,
    /// Whether to wait for the collector's second look at what was given up.
    pub second_look: bool,
}

/// What happened.
#[derive(Debug)]
pub struct Report {
    /// Each kind, how often it was made, and whether the figures showed it.
    faults: Vec<(Fault, usize, bool)>,
    found: check::Findings,
    took: Duration,
}

impl FaultRun {
    /// Runs, and panics over the first promise that was broken.
    pub async fn run(self) -> Report {
        let started = Instant::now();
        let mut random = StdRng::seed_from_u64(self.seed);
        let mut production = Production::start()
            .await
            .with("MEDIA_LEASE", LEASE)
            .with("MEDIA_SHUTDOWN_GRACE", "1s")
            .with("MEDIA_WORKER_CONCURRENCY", "8");
        let origin = Origin::fill(&production.origin, &mut random);
        let load = Load::new(origin, self.jobs, self.rate, &mut random);

        let mut chaos = Chaos::start(&production, load.apis(), random).await;
        // What waits before the first worker starts must be taken in order.
        load.post_backlog().await;
        chaos.start_workers(&production).await;
        let (posted, faults) = tokio::join!(
            load.post_all(),
            chaos.run_beside(&load, &mut production, self.store_outage)
        );
        let outages = faults.outages;

        let database = sea_orm::Database::connect(production.database_url())
            .await
            .unwrap();
        wait_for_the_end(&database).await;
        load.cancel_scheduled(&posted).await;
        wait_for_the_collector(&database, self.second_look).await;
        let found = check::check(&production, &database, &load, &posted, &outages).await;
        let seen = chaos.seen();
        let counts = faults.counts.into_iter();
        let shown = counts.map(|(fault, count)| (fault, count, seen.show(fault)));
        let shown = shown.collect();
        chaos.stop();
        Report {
            faults: shown,
            found: found.with_logs(&production.logs()),
            took: started.elapsed(),
        }
    }
}

impl Report {
    /// The kinds of faults that were made and that no figure has shown.
    pub fn not_shown(&self) -> Vec<String> {
        let hidden = self
            .faults
            .iter()
            .filter(|(_, count, shown)| *count > 0 && !shown);
        hidden.map(|(fault, ..)| fault.to_string()).collect()
    }

    /// How often a past attempt tried to write and was refused.
    pub fn refused_writes(&self) -> usize {
        self.found.refused_writes
    }
}

async fn wait_for_the_end(database: &DatabaseConnection) {
    // The one that is left holds the unicity.
    let unfinished = "SELECT count(*) FROM jobs WHERE finished_at IS NULL AND unicity IS NULL";
    wait_until("every job ends", SETTLE_LIMIT, async || {
        (count(database, unfinished).await == 0).then_some(())
    })
    .await;
}

async fn wait_for_the_collector(database: &DatabaseConnection, second_look: bool) {
    let left = if second_look {
        "SELECT count(*) FROM blobs WHERE status <> 'live'"
    } else {
        "SELECT count(*) FROM blobs WHERE status = 'staged' OR (status = 'garbage' \
           AND (expires_at IS NULL OR collect_after < expires_at))"
    };
    wait_until("the collector is done", COLLECT_LIMIT, async || {
        (count(database, left).await == 0).then_some(())
    })
    .await;
}

async fn count(database: &DatabaseConnection, sql: &str) -> i64 {
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(statement).await.unwrap().unwrap();
    row.try_get_by_index(0).unwrap()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:.0?} in all", self.took)?;
        for (fault, count, shown) in &self.faults {
            let shown = if *shown {
                "shown by figures"
            } else {
                "NOT SHOWN"
            };
            writeln!(f, "{count:>7} × {fault}: {shown}")?;
        }
        write!(f, "{}", self.found)
    }
}
