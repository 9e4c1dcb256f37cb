//! The metrics of all programs while faults are made, as Prometheus would read them: every fault must
//! show.

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

/// How often all are asked.
const EVERY: Duration = Duration::from_millis(200);
/// How long one may take to answer.
const LIMIT: Duration = Duration::from_millis(800);

/// Asks programs for their metrics, until it is dropped.
pub(crate) struct Scraper {
    state: Arc<Mutex<State>>,
    _task: AbortOnDropHandle<()>,
}

#[derive(Default)]
struct State {
    /// Where each program's metrics are, by its name.
    targets: BTreeMap<String, String>,
    seen: Seen,
}

/// What the metrics have shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    /// What each program said last.
    last: BTreeMap<String, Metrics>,
    /// Programs that did not answer after they had.
    silent: BTreeSet<String>,
    database_down: bool,
    /// Noted at once: a restarted service counts anew at the same address.
    origin_away: bool,
    worker_waiting: bool,
}

impl Scraper {
    /// Begins with no program.
    pub(crate) fn start() -> Self {
        let state = Arc::<Mutex<State>>::default();
        let task = tokio::spawn(scrape(Arc::clone(&state)));
        Self {
            state,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// From now on, this one is asked as well, in place of one that was at its address before.
    pub(crate) fn add(&self, program: &Program) {
        let mut state = self.state.lock().unwrap();
        let target = program.url("/metrics");
        state.targets.retain(|_, other| *other != target);
        state.targets.insert(program.name().to_owned(), target);
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> Seen {
        self.state.lock().unwrap().seen.clone()
    }
}

async fn scrape(state: Arc<Mutex<State>>) {
    let http = http_client();
    let token = admin_token();
    loop {
        sleep(EVERY).await;
        let targets = state.lock().unwrap().targets.clone();
        stream::iter(targets)
            .for_each_concurrent(None, async |(name, url)| {
                let answer = timeout(LIMIT, ask(&http, &url, &token))
                    .await
                    .ok()
                    .flatten();
                state.lock().unwrap().seen.note(name, answer);
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

impl Seen {
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
            // It is only starting.
            None => {}
        }
    }

    /// Over all programs, also those that are gone: what they said last.
    fn sum(&self, figure: &str, labels: &[(&str, &str)]) -> f64 {
        let each = self
            .last
            .values()
            .filter_map(|last| last.value(figure, labels));
        each.sum()
    }

    fn any_silent(&self, kind: &str) -> bool {
        self.silent.iter().any(|name| name.starts_with(kind))
    }

    /// Whether a kind of fault, which was made, shows.
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
            // The library that makes them counts them: the report shows its counts.
            Fault::FailFiles(..) => true,
            Fault::StopOrigin => self.origin_away,
        }
    }
}
