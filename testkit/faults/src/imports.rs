//! Clients that ask for imports, and remember the answers.

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

/// How many jobs wait before the first worker starts.
const BACKLOG: usize = 100;
/// How many clients ask for the same unicity at once.
const RIVALS: usize = 50;
/// The unicity that they ask for.
const UNICITY: &str = "fault run";

/// An import to be asked for.
#[derive(Clone, Copy, Debug)]
struct Plan {
    file: usize,
    priority: i64,
    api: usize,
    cancel: bool,
}

/// An import that was asked for, and answered 2xx.
#[derive(Debug)]
pub(crate) struct Posted {
    pub(crate) id: String,
    pub(crate) resource: String,
    pub(crate) file: usize,
    /// Whether a signal to cancel it was sent, and the answer.
    pub(crate) was_to_be_cancelled: bool,
    pub(crate) cancel: Option<StatusCode>,
}

/// Everything that was answered 2xx.
pub(crate) struct AllPosted {
    pub(crate) jobs: Vec<Posted>,
    /// How many posts were not answered, or refused: what became of them is open.
    pub(crate) unanswered: usize,
    /// The jobs that rivals for one unicity were given.
    pub(crate) rivals: Vec<String>,
}

/// Asks for imports, whatever happens to those who answer.
pub(crate) struct Load {
    client: Client,
    origin: Arc<Origin>,
    plans: Vec<Plan>,
    rate: u32,
    enough: AtomicBool,
    done: AtomicBool,
    backlog: tokio::sync::Mutex<Vec<Posted>>,
}

impl Load {
    /// Plans imports of the files of an origin.
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
            enough: AtomicBool::new(false),
            done: AtomicBool::new(false),
            backlog: tokio::sync::Mutex::new(Vec::new()),
        }
    }

    /// Whether everything was posted.
    pub(crate) fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }

    /// Posts what is to wait for the first worker.
    pub(crate) async fn post_backlog(&self) {
        let mut backlog = self.backlog.lock().await;
        for (number, plan) in self.plans.iter().enumerate().take(BACKLOG) {
            backlog.extend(self.post(number, *plan).await);
        }
    }

    /// Posts the rest, at the rate, and more of the same until every fault has met jobs.
    pub(crate) async fn post_all(&self) -> AllPosted {
        let mut ticks = interval(Duration::from_secs(1) / self.rate);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut jobs = std::mem::take(&mut *self.backlog.lock().await);
        let half = self.plans.len() / 2;
        let mut rivals = Vec::new();
        let mut number = BACKLOG;
        while number < self.plans.len() || !self.enough.load(Ordering::Relaxed) {
            ticks.tick().await;
            if number == half {
                rivals = self.compete().await;
            }
            let plan = self.plans[number % self.plans.len()];
            jobs.extend(self.post(number, plan).await);
            number += 1;
        }
        self.done.store(true, Ordering::Relaxed);
        AllPosted {
            unanswered: number - jobs.len(),
            jobs,
            rivals,
        }
    }

    /// Every fault has met jobs; nothing is posted any more beyond what was planned.
    pub(crate) fn is_enough(&self) {
        self.enough.store(true, Ordering::Relaxed);
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

    /// Many ask at once for a job that may exist only once; it lies in the future, so that it does
    /// not end meanwhile.
    async fn compete(&self) -> Vec<String> {
        let document = import(
            &json!({ "url": self.origin.small(), "resource": "rivals" }),
            json!({ "unicity": UNICITY, "scheduled_at": FAR_FUTURE }),
        );
        let posts = (0..RIVALS).map(|rival| self.client.post(rival, "/jobs", &document));
        join_all(posts)
            .await
            .into_iter()
            .flatten()
            .filter(|(status, _)| status.is_success())
            .map(|(_, answer)| answer["data"]["id"].as_str().unwrap().to_owned())
            .collect()
    }
}
