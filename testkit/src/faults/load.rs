//! What is imported, and who asks for it.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use rand::{Rng as _, RngExt as _, rngs::StdRng};
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};
use tokio::time::{MissedTickBehavior, interval};

use crate::{
    bytes::pattern, http_client, nginx::Nginx, production::free_address, service::import,
    wait_until,
};

/// How many jobs wait before the first worker starts.
const BACKLOG: usize = 100;
/// How many clients ask for the same unicity at once.
const RIVALS: usize = 50;
/// The unicity that they ask for.
const UNICITY: &str = "fault run";
/// How long an API has for an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);

/// The files to import.
pub(super) struct Origin {
    base: String,
    files: Vec<File>,
}

/// A file of the origin.
#[derive(Clone, Debug)]
pub(super) struct File {
    /// Below which path it is: `slow/` is bound to 4 MB/s.
    path: String,
    /// How likely it is to be chosen.
    weight: u32,
    /// What it holds; none if it is not there.
    pub(super) bytes: Option<Vec<u8>>,
}

impl Origin {
    /// Small, middling, and large enough for several parts; some of them slow, one not there.
    pub(super) fn fill(nginx: &Nginx, random: &mut StdRng) -> Self {
        let mut files = vec![File {
            path: "missing".to_owned(),
            weight: 2,
            bytes: None,
        }];
        let kinds = [
            (12, 0..40_000, 60, ""),
            (4, 100_000..2_000_000, 20, ""),
            (2, 9_000_000..20_000_000, 4, ""),
            (3, 6_000_000..14_000_000, 12, "slow/"),
        ];
        for (count, sizes, weight, below) in kinds {
            for _ in 0..count {
                let bytes = pattern(random.random_range(sizes.clone()));
                let name = format!("file-{}", files.len());
                nginx.add(&name, &bytes);
                files.push(File {
                    path: format!("{below}{name}"),
                    weight: weight / count,
                    bytes: Some(bytes),
                });
            }
        }
        Self {
            base: nginx.url(""),
            files,
        }
    }

    fn choose(&self, random: &mut StdRng) -> usize {
        let all: u32 = self.files.iter().map(|file| file.weight).sum();
        let mut left = random.random_range(0..all);
        for (index, file) in self.files.iter().enumerate() {
            match left.checked_sub(file.weight) {
                Some(rest) => left = rest,
                None => return index,
            }
        }
        0
    }
}

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
pub(super) struct Posted {
    pub(super) id: String,
    pub(super) resource: String,
    pub(super) file: usize,
    /// What was answered to the wish to cancel it.
    pub(super) cancel: Option<StatusCode>,
}

/// Everything that was answered 2xx.
pub(super) struct AllPosted {
    pub(super) jobs: Vec<Posted>,
    /// How many posts were not answered, or refused: what became of them is open.
    pub(super) unanswered: usize,
    /// The jobs that rivals for one unicity were given.
    pub(super) rivals: Vec<String>,
}

/// Asks for imports, whatever happens to those who answer.
pub(super) struct Load {
    apis: [String; 2],
    origin: Origin,
    plans: Vec<Plan>,
    rate: u32,
    http: Client,
    enough: AtomicBool,
    done: AtomicBool,
    backlog: tokio::sync::Mutex<Vec<Posted>>,
}

impl Load {
    pub(super) fn new(origin: Origin, jobs: usize, rate: u32, random: &mut StdRng) -> Self {
        let plans = (0..jobs)
            .map(|_| Plan {
                file: origin.choose(random),
                priority: random.random_range(-2..=2),
                api: random.random_range(0..2),
                cancel: random.next_u32().is_multiple_of(33),
            })
            .collect();
        Self {
            apis: [free_address(), free_address()],
            origin,
            plans,
            rate,
            http: http_client(),
            enough: AtomicBool::new(false),
            done: AtomicBool::new(false),
            backlog: tokio::sync::Mutex::new(Vec::new()),
        }
    }

    /// Where the APIs are to listen.
    pub(super) fn apis(&self) -> &[String; 2] {
        &self.apis
    }

    /// The file that was asked for.
    pub(super) fn file(&self, index: usize) -> &File {
        &self.origin.files[index]
    }

    /// Whether everything was posted.
    pub(super) fn is_done(&self) -> bool {
        self.done.load(Ordering::Relaxed)
    }

    /// Posts what is to wait for the first worker.
    pub(super) async fn post_backlog(&self) {
        let mut backlog = self.backlog.lock().await;
        for (number, plan) in self.plans.iter().enumerate().take(BACKLOG) {
            backlog.extend(self.post(number, *plan).await);
        }
    }

    /// Posts the rest, at the rate, and more of the same until every fault has met jobs.
    pub(super) async fn post_all(&self) -> AllPosted {
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
    pub(super) fn is_enough(&self) {
        self.enough.store(true, Ordering::Relaxed);
    }

    async fn post(&self, number: usize, plan: Plan) -> Option<Posted> {
        let resource = format!("job-{number}");
        let url = format!("{}{}", self.origin.base, self.origin.files[plan.file].path);
        let document = import(
            &json!({ "url": url, "resource": resource }),
            json!({ "priority": plan.priority, "max_retries": 100 }),
        );
        let api = &self.apis[plan.api];
        let (status, answer) = self.send(api, "/jobs", &document).await?;
        if status != StatusCode::CREATED {
            return None;
        }
        let id = answer["data"]["id"].as_str()?.to_owned();
        let cancel = if plan.cancel {
            let signal = json!({ "data": {
                "type": "media:signals", "attributes": { "signal": "cancel" }
            } });
            let path = format!("/jobs/{id}/signal");
            let answer = self.send(api, &path, &signal).await;
            answer.map(|(status, _)| status)
        } else {
            None
        };
        Some(Posted {
            id,
            resource,
            file: plan.file,
            cancel,
        })
    }

    /// Many ask at once for a job that may exist only once; it lies in the future, so that it does
    /// not end meanwhile.
    async fn compete(&self) -> Vec<String> {
        let url = format!("{}missing", self.origin.base);
        let document = import(
            &json!({ "url": url, "resource": "rivals" }),
            json!({ "unicity": UNICITY, "scheduled_at": "2100-01-01T00:00:00Z" }),
        );
        let posts = (0..RIVALS).map(|rival| self.send(&self.apis[rival % 2], "/jobs", &document));
        join_all(posts)
            .await
            .into_iter()
            .flatten()
            .filter(|(status, _)| status.is_success())
            .map(|(_, answer)| answer["data"]["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Ends the job that the rivals were given.
    pub(super) async fn cancel_scheduled(&self, posted: &AllPosted) {
        let Some(id) = posted.rivals.first() else {
            return;
        };
        let signal = json!({ "data": {
            "type": "media:signals", "attributes": { "signal": "cancel" }
        } });
        let path = format!("/jobs/{id}/signal");
        wait_until("an API answers", Duration::from_secs(30), async || {
            let (status, _) = self.send(&self.apis[0], &path, &signal).await?;
            status.is_success().then_some(())
        })
        .await;
    }

    async fn send(&self, api: &str, path: &str, document: &Value) -> Option<(StatusCode, Value)> {
        let request = self.http.post(format!("http://{api}{path}"));
        let answer = request
            .timeout(ANSWER_LIMIT)
            .json(document)
            .send()
            .await
            .ok()?;
        let status = answer.status();
        Some((status, answer.json().await.ok()?))
    }
}
