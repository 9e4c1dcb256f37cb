//! The metrics of all programs during the faults, scraped as by Prometheus. Every fault must be visible in
//! them.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use media_testkit::{cluster::Program, http_client, metrics::Metrics};
use reqwest::Client;
use tokio::time::{sleep, timeout};
use tokio_util::task::AbortOnDropHandle;

use crate::{client::admin_token, fault::Fault};

/// The interval of scrapes.
const SCRAPE_INTERVAL: Duration = Duration::from_millis(200);
/// The longest time until a response.
const ANSWER_LIMIT: Duration = Duration::from_millis(800);

/// Scrapes the metrics of programs until it is dropped.
pub(crate) struct Scraper {
    state: Arc<Mutex<State>>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct State {
    /// The URLs of the metrics by the names of the programs.
    targets: BTreeMap<String, String>,
    observed: Observed,
}

/// The observations in the metrics so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observed {
    /// The last metrics of each program.
    last: BTreeMap<String, Metrics>,
    /// The programs that stopped answering.
    silent: BTreeSet<String>,
    database_down: bool,
    /// Recorded at once, because a restarted service counts from zero at the same address.
    origin_away: bool,
    worker_waiting: bool,
}

impl Scraper {
    /// Starts without programs.
    pub(crate) fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let task = tokio::spawn(scrape(Arc::clone(&state)));
        Self {
            state,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Adds a program, and removes an earlier one at the same address.
    pub(crate) fn add(&self, program: &Program) {
        let mut state = self.state.lock().unwrap();
        let target = program.url("/metrics");
        state.targets.retain(|_, other| *other != target);
        state.targets.insert(program.name().to_owned(), target);
    }

    /// Returns the observations so far.
    pub(crate) fn observed(&self) -> Observed {
        self.state.lock().unwrap().observed.clone()
    }
}

async fn scrape(state: Arc<Mutex<State>>) {
    let http = http_client();
    let token = admin_token();
    loop {
        sleep(SCRAPE_INTERVAL).await;
        let targets = state.lock().unwrap().targets.clone();
        stream::iter(targets)
            .for_each_concurrent(None, async |(name, url)| {
                let answer = timeout(ANSWER_LIMIT, ask(&http, &url, &token))
                    .await
                    .ok()
                    .flatten();
                state.lock().unwrap().observed.note(name, answer);
            })
            .await;
    }
}

async fn ask(http: &Client, url: &str, token: &str) -> Option<Metrics> {
    let answer = http.get(url).bearer_auth(token).send().await.ok()?;
    answer
        .status()
        .is_success()
        .then_some(Metrics::read(&answer.text().await.ok()?))
}

impl Observed {
    fn note(&mut self, name: String, answer: Option<Metrics>) {
        match answer {
            Some(metrics) => {
                let says = |name: &str, value| metrics.value(name, &[]) == Some(value);
                let failed = |code| {
                    let count = metrics.value("media_attempt_failures_total", &[("code", code)]);
                    count.is_some_and(|count| count > 0.0)
                };
                self.origin_away |= failed("connect_failed") || failed("connection_lost");
                self.database_down |= says("media_database_up", 0.0);
                self.worker_waiting |= says("media_worker_waiting", 1.0);
                self.last.insert(name, metrics);
            }
            None if self.last.contains_key(&name) => {
                self.silent.insert(name);
            }
            // The program is still starting.
            None => {}
        }
    }

    /// Sums the last values of all programs, including ended ones.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let each = self
            .last
            .values()
            .filter_map(|last| last.value(name, labels));
        each.sum()
    }

    fn any_silent(&self, kind: &str) -> bool {
        self.silent.iter().any(|name| name.starts_with(kind))
    }

    /// Returns whether a kind of fault is visible in the metrics.
    pub(crate) fn show(&self, fault: Fault) -> bool {
        match fault {
            Fault::KillWorker | Fault::StopWorker => self.any_silent("worker"),
            Fault::KillApi | Fault::FreezeApi | Fault::StopApi => self.any_silent("api"),
            Fault::FreezeWorker => {
                let lost = self.sum("media_leases_lost_total", &[]);
                let fenced = self.sum("media_fenced_writes_total", &[]);
                lost + fenced > 0.0 && self.sum("media_jobs_rescued_total", &[]) > 0.0
            }
            Fault::FlushRedis | Fault::KillRedis => {
                self.sum("media_trouble_total", &[("work", "tickets")]) > 0.0
            }
            Fault::RestartDatabase => self.database_down,
            Fault::StopStore => self.worker_waiting,
            Fault::KillService | Fault::FreezeService | Fault::StopService => {
                self.any_silent("service")
            }
            // The library that injects these faults counts them; the report has its counts.
            Fault::FailFiles(..) => true,
            Fault::StopOrigin => self.origin_away,
        }
    }
}
