//! The load: clients that post imports and record the answers.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::join_all;
use media_testkit::service::{FAR_FUTURE, import};
use rand::{Rng as _, RngExt as _, rngs::StdRng};
use reqwest::StatusCode;
use serde_json::json;
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    client::{Client, id_of},
    origin::Origin,
};

/// The number of jobs that are posted before the first worker starts.
const BACKLOG_JOBS: usize = 100;
/// The number of concurrent posts with the same unicity.
const CONCURRENT_POSTS: usize = 50;
const UNICITY: &str = "fault run";

/// An import to be posted.
#[derive(Clone, Copy, Debug)]
struct Plan {
    file: usize,
    priority: i64,
    api: usize,
    cancel: bool,
}

/// An import that was posted and acknowledged.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) id: String,
    pub(crate) resource: String,
    pub(crate) file: usize,
    /// Whether a signal to cancel it was sent; `cancel` has the status of the answer.
    pub(crate) was_to_be_cancelled: bool,
    pub(crate) cancel: Option<StatusCode>,
}

/// All acknowledged imports.
pub(crate) struct AllPosted {
    pub(crate) jobs: Vec<Posted>,
    /// The number of posts that were refused or not answered, whose effect is unknown.
    pub(crate) unanswered: usize,
    /// The ids of the jobs that the posts with the same unicity received.
    pub(crate) same_unicity: Vec<String>,
}

/// Posts imports while faults are made.
pub(crate) struct Load {
    client: Client,
    origin: Arc<Origin>,
    plans: Vec<Plan>,
    rate: u32,
    all_made: AtomicBool,
    done: AtomicBool,
    backlog: tokio::sync::Mutex<Vec<Posted>>,
}

impl Load {
    /// Plans imports of random files of an origin.
    pub(crate) fn new(
        client: &Client,
        origin: &Arc<Origin>,
        jobs: usize,
        rate: u32,
        random: &mut StdRng,
    ) -> Self {
        let plans = (0..jobs)
            .map(|_| Plan {
                file: origin.choose(random),
                priority: random.random_range(-2..=2),
                api: random.random_range(0..2),
                cancel: random.next_u32().is_multiple_of(33),
            })
            .collect();
        Self {
            client: client.clone(),
            origin: Arc::clone(origin),
            plans,
            rate,
            all_made: AtomicBool::new(false),
            done: AtomicBool::new(false),
            backlog: tokio::sync::Mutex::new(Vec::new()),
        }
    }

    /// Whether everything was posted.
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }

    /// Posts the jobs that the first worker finds pending.
    pub(crate) async fn post_backlog(&self) {
        let mut backlog = self.backlog.lock().await;
        for (number, plan) in self.plans.iter().enumerate().take(BACKLOG_JOBS) {
            backlog.extend(self.post(number, *plan).await);
        }
    }

    /// Posts the remaining jobs at the rate, and repeats them until every fault was made.
    pub(crate) async fn post_all(&self) -> AllPosted {
        let mut ticks = interval(Duration::from_secs(1) / self.rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut jobs = std::mem::take(&mut *self.backlog.lock().await);
        let half = self.plans.len() / 2;
        let mut same_unicity = Vec::new();
        let mut number = BACKLOG_JOBS;
        while number < self.plans.len() || !self.all_made.load(Ordering::Relaxed) {
            ticks.tick().await;
            if number == half {
                same_unicity = self.compete().await;
            }
            let plan = self.plans[number % self.plans.len()];
            jobs.extend(self.post(number, plan).await);
            number += 1;
        }
        self.done.store(true, Ordering::Relaxed);
        AllPosted {
            unanswered: number - jobs.len(),
            jobs,
            same_unicity,
        }
    }

    /// Tells the load that every fault was made while jobs were running.
    pub(crate) fn all_faults_made(&self) {
        self.all_made.store(true, Ordering::Relaxed);
    }

    async fn post(&self, number: usize, plan: Plan) -> Option<Posted> {
        let resource = format!("job-{number}");
        let document = import(
            &json!({ "url": self.origin.url(plan.file), "resource": resource }),
            json!({ "priority": plan.priority, "max_retries": 100 }),
        );
        let id = id_of(self.client.post(plan.api, "/jobs", &document).await)?;
        let cancel = if plan.cancel {
            self.client.signal(plan.api, &id, "cancel").await
        } else {
            None
        };
        Some(Posted {
            id,
            resource,
            file: plan.file,
            was_to_be_cancelled: plan.cancel,
            cancel,
        })
    }

    /// Posts jobs with one unicity concurrently. They are scheduled in the far future, so that none ends in
    /// the meantime.
    async fn compete(&self) -> Vec<String> {
        let document = import(
            &json!({ "url": self.origin.small(), "resource": "same_unicity" }),
            json!({ "unicity": UNICITY, "scheduled_at": FAR_FUTURE }),
        );
        let posts = (0..CONCURRENT_POSTS).map(|rival| self.client.post(rival, "/jobs", &document));
        join_all(posts)
            .await
            .into_iter()
            .flatten()
            .filter(|(status, _)| status.is_success())
            .map(|(_, answer)| answer["data"]["id"].as_str().unwrap().to_owned())
            .collect()
    }
}
