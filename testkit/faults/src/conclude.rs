//! The end of a run: waits until all jobs have ended, then checks everything.

use std::{path::Path, sync::Arc, time::Duration};

use chrono::{DateTime, Utc};
use media_migrations::integrity;
use media_testkit::service::FAR_FUTURE;
use sea_orm::DatabaseConnection;
use tokio::time::{Instant, sleep};

use crate::{
    check::{self, Expected},
    client::Client,
    clients::Done,
    fault::Faults,
    imports::AllPosted,
    origin::Origin,
    priority_order,
    report::Report,
    run_config::FaultRun,
    scrape::Observed,
    storage::Storage,
    tables,
    tally::Tally,
};

/// The longest time until all jobs have ended after the last fault.
const SETTLE_LIMIT: Duration = Duration::from_mins(5);
/// The longest time until the collector has finished. It waits two minutes for an upload whose program was
/// killed, and checks abandoned objects twice, three minutes apart.
const COLLECT_LIMIT: Duration = Duration::from_mins(8);
/// The interval of the checks for unfinished jobs and blobs.
const POLL_INTERVAL: Duration = Duration::from_millis(500);

/// The actions of a run and the places of their results.
pub(crate) struct Run<'a> {
    pub(crate) settings: FaultRun,
    pub(crate) client: &'a Client,
    pub(crate) origin: &'a Arc<Origin>,
    pub(crate) posted: AllPosted,
    pub(crate) done: Done,
    pub(crate) faults: Faults,
    pub(crate) file_calls: Tally,
    pub(crate) observed: &'a (dyn Fn() -> Observed + Sync),
    pub(crate) database_url: &'a str,
    pub(crate) storage: &'a Storage<'a>,
    pub(crate) logs: &'a Path,
}

/// Waits until all jobs have ended and the collector has finished, checks everything, and returns the report.
pub(crate) async fn conclude(run: Run<'_>) -> Report {
    let database = sea_orm::Database::connect(run.database_url).await.unwrap();
    let mut broken = Vec::new();
    broken.extend(wait_for_the_end(run.client, &database).await);
    broken.extend(wait_for_the_collector(&database, run.settings.recheck).await);

    let mut persistent = Tally::default();
    let mut certain = 0;
    for acknowledged in &run.done.acknowledged {
        broken.extend(acknowledged.check(run.client).await);
        persistent.merge(&acknowledged.tally);
        certain += acknowledged.certain();
    }
    let found = integrity::find_violations(&database).await.unwrap();
    broken.extend(found.iter().map(ToString::to_string));
    let jobs = tables::jobs(&database).await;
    let expected = Expected {
        jobs: &jobs,
        kept: &tables::media(&database).await,
        origin: run.origin,
    };
    broken.extend(expected.check_posted(&run.posted));
    broken.extend(expected.check_interrupted(&run.done.interrupted));
    let pairs = match priority_order::check(&jobs, &run.posted, &run.faults.outages) {
        Ok(pairs) => pairs,
        Err(inversion) => {
            broken.push(inversion);
            0
        }
    };
    // The collector checks these objects once more, as a delayed write may still arrive.
    let given_up = tables::storage_keys(&database, "'staged', 'garbage'").await;
    let stored = check::check_storage(run.storage, expected.kept, &given_up).await;
    broken.extend(stored.broken);
    let logs = check::Logs::read(run.logs);
    broken.extend(logs.panics.iter().cloned());

    let observed = (run.observed)();
    let shown = run.faults.counts.into_iter();
    let report = Report {
        faults: shown
            .map(|(fault, count)| (fault, count, observed.show(fault)))
            .collect(),
        file_calls: run.file_calls,
        disconnects: run.done.disconnects,
        interruptions: run.done.interruptions,
        persistent,
        certain,
        answered: run.posted.jobs.len(),
        unanswered: run.posted.unanswered,
        statuses: check::statuses(&jobs),
        attempts: check::attempts(&jobs),
        objects: stored.objects,
        bytes: stored.bytes,
        pairs,
        logs,
        broken,
        took: Duration::ZERO,
    };
    database.close().await.unwrap();
    report
}

fn far_future() -> sea_orm::Value {
    let at: DateTime<Utc> = FAR_FUTURE.parse().unwrap();
    at.into()
}

/// Waits until every job has ended except those of the far future. Resumes paused jobs, and starts jobs in
/// back-off, which can last ten minutes, at once. Returns a message if jobs do not end.
async fn wait_for_the_end(client: &Client, database: &DatabaseConnection) -> Option<String> {
    let unfinished = "FROM jobs WHERE finished_at IS NULL \
                      AND (scheduled_at IS NULL OR scheduled_at < $1)";
    let paused = format!("SELECT id {unfinished} AND status = 'paused'");
    let in_back_off = format!("SELECT id {unfinished} AND status = 'scheduled'");
    let ids = format!("SELECT id {unfinished} LIMIT 10");
    let end = Instant::now() + SETTLE_LIMIT;
    loop {
        for id in tables::job_ids(database, &paused, [far_future()]).await {
            let _ = client.signal(0, &id, "resume").await;
        }
        for id in tables::job_ids(database, &in_back_off, [far_future()]).await {
            client.start_now(&id).await;
        }
        let left = tables::job_ids(database, &ids, [far_future()]).await;
        if left.is_empty() {
            return None;
        }
        if Instant::now() > end {
            return Some(format!("jobs that do not end: {left:?} and maybe more"));
        }
        sleep(POLL_INTERVAL).await;
    }
}

/// Waits until the collector has finished: with all objects, or without `recheck` with all objects that no
/// upload holds and that it will not check again. Returns a message if objects are left.
async fn wait_for_the_collector(database: &DatabaseConnection, recheck: bool) -> Option<String> {
    let left = if recheck {
        "SELECT count(*) FROM blobs WHERE status <> 'live' AND created_at < $1"
    } else {
        "SELECT count(*) FROM blobs WHERE \
           (status = 'staged' AND (job_id IS NOT NULL OR expires_at < $1)) \
           OR (status = 'garbage' AND (expires_at IS NULL OR collect_after < expires_at))"
    };
    let end = Instant::now() + COLLECT_LIMIT;
    loop {
        let left = tables::count(database, left, [Utc::now().into()]).await;
        if left == 0 {
            return None;
        }
        if Instant::now() > end {
            return Some(format!("{left} blobs are not collected"));
        }
        sleep(POLL_INTERVAL).await;
    }
}
