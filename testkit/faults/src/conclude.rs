//! The end of a run: everything settles, then everything is checked.

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
    order,
    origin::Origin,
    report::Report,
    run_config::FaultRun,
    scrape::Seen,
    storage::Storage,
    tables,
    tally::Tally,
};

/// How long all jobs may take to end once the faults are over.
const SETTLE_LIMIT: Duration = Duration::from_mins(5);
/// How long the collector may take: it waits two minutes for an upload whose program was killed, and looks
/// twice at what was given up, three minutes apart.
const COLLECT_LIMIT: Duration = Duration::from_mins(8);
/// How often is looked.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The actions of a run, and where their results are.
pub(crate) struct Run<'a> {
    pub(crate) settings: FaultRun,
    pub(crate) client: &'a Client,
    pub(crate) origin: &'a Arc<Origin>,
    pub(crate) posted: AllPosted,
    pub(crate) done: Done,
    pub(crate) faults: Faults,
    pub(crate) file_calls: Tally,
    pub(crate) seen: &'a (dyn Fn() -> Seen + Sync),
    pub(crate) database_url: &'a str,
    pub(crate) storage: &'a Storage<'a>,
    pub(crate) logs: &'a Path,
}

/// Waits until everything has settled, checks it, and reports.
pub(crate) async fn conclude(run: Run<'_>) -> Report {
    let database = sea_orm::Database::connect(run.database_url).await.unwrap();
    let mut broken = Vec::new();
    broken.extend(wait_for_the_end(run.client, &database).await);
    broken.extend(wait_for_the_collector(&database, run.settings.second_look).await);

    let mut staying = Tally::default();
    let mut certain = 0;
    for known in &run.done.known {
        broken.extend(known.check(run.client).await);
        staying.merge(&known.tally);
        certain += known.certain();
    }
    let found = integrity::find_violations(&database).await.unwrap();
    broken.extend(found.iter().map(ToString::to_string));
    let jobs = tables::jobs(&database).await;
    let expected = Expected {
        jobs: &jobs,
        kept: &tables::kept(&database).await,
        origin: run.origin,
    };
    broken.extend(expected.check_posted(&run.posted));
    broken.extend(expected.check_interrupted(&run.done.interrupted));
    let pairs = match order::check(&jobs, &run.posted, &run.faults.outages) {
        Ok(pairs) => pairs,
        Err(inversion) => {
            broken.push(inversion);
            0
        }
    };
    // The collector looks at these once more: a write that was on its way may still have arrived.
    let given_up = tables::storage_keys(&database, "'staged', 'garbage'").await;
    let stored = check::check_storage(run.storage, expected.kept, &given_up).await;
    broken.extend(stored.broken);
    let logs = check::Logs::read(run.logs);
    broken.extend(logs.panics.iter().cloned());

    let seen = (run.seen)();
    let shown = run.faults.counts.into_iter();
    let report = Report {
        faults: shown
            .map(|(fault, count)| (fault, count, seen.show(fault)))
            .collect(),
        file_calls: run.file_calls,
        hang_ups: run.done.hang_ups,
        interruptions: run.done.interruptions,
        staying,
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

/// Waits until every job has ended but those of the far future; those that are paused go on, and those in
/// back-off, which lasts up to ten minutes, start at once. Says which ones do not end.
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
        sleep(LOOK_EVERY).await;
    }
}

/// Waits until the collector is done: with everything, or, if its second look is not waited for, with
/// everything that is neither held by an upload nor to be looked at once more.
async fn wait_for_the_collector(
    database: &DatabaseConnection,
    second_look: bool,
) -> Option<String> {
    let left = if second_look {
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
        sleep(LOOK_EVERY).await;
    }
}
