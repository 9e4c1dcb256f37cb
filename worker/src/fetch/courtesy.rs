//! Hosts that ask to be left alone are: by every import, in every worker.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use hyper::{HeaderMap, StatusCode};
use media_shared::{
    job::Failure,
    origin_ledger::{LONGEST, OriginLedger},
};
use rand::RngExt as _;
use tokio::time::{sleep, timeout};
use url::Url;

use super::{failure, host_key};

/// How long what the book says about a host is taken for true.
const FRESH: Duration = Duration::from_secs(1);
/// So many hosts are remembered at once.
const REMEMBERED: usize = 1024;
/// So long an import waits for a host; for longer, another job has its place.
const SHORT_WAIT: Duration = Duration::from_secs(2);
/// Over how long those come who have waited for the same.
const SPREAD: Duration = Duration::from_millis(500);
/// How long a host is left alone that does not say for how long.
const DEFAULT_WAIT: Duration = Duration::from_secs(5);
/// How long the book may take to answer.
const LEDGER_LIMIT: Duration = Duration::from_secs(5);

/// Until when hosts want to be left alone.
#[derive(Clone)]
pub(super) struct Courtesy {
    ledger: OriginLedger,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

#[derive(Clone, Copy)]
struct Known {
    asked: Instant,
    not_before: Option<DateTime<Utc>>,
    /// Whether the book does not know it, so that it holds until it is over.
    unwritten: bool,
}

impl Known {
    fn holds(&self) -> bool {
        let is_ahead = self.not_before.is_some_and(|until| until > Utc::now());
        self.asked.elapsed() < FRESH || (self.unwritten && is_ahead)
    }
}

impl Courtesy {
    pub(super) fn new(ledger: OriginLedger) -> Self {
        Self {
            ledger,
            known: Arc::default(),
        }
    }

    /// Waits until a host may be asked, if that is soon.
    pub(super) async fn await_turn(&self, url: &Url) -> Result<(), Failure> {
        let host = host_key(url);
        let Some(until) = self.not_before(host).await else {
            return Ok(());
        };
        let wait = (until - Utc::now()).to_std().unwrap_or_default();
        if wait > SHORT_WAIT {
            return Err(failure::postponed(url, wait));
        }
        // Not all at once.
        let spread = rand::rng().random_range(Duration::ZERO..=SPREAD);
        sleep(wait + spread).await;
        Ok(())
    }

    /// Takes note of an answer with which a host asks to be left alone (RFC 6585 §4, RFC 9110
    /// §15.6.4).
    pub(super) async fn note(&self, url: &Url, status: StatusCode, headers: &HeaderMap) {
        let busy = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ];
        if !busy.contains(&status) {
            return;
        }
        let host = host_key(url);
        let wait = failure::retry_after(headers).unwrap_or(DEFAULT_WAIT);
        let written = timeout(LEDGER_LIMIT, self.ledger.leave_alone(host, wait)).await;
        if matches!(written, Ok(Ok(()))) {
            self.lock().remove(host);
            return;
        }
        tracing::warn!(
            host,
            "that a host wants to be left alone could not be written down; this worker heeds it"
        );
        self.remember(
            host,
            Known {
                asked: Instant::now(),
                not_before: Some(Utc::now() + wait.min(LONGEST)),
                unwritten: true,
            },
        );
    }

    fn remember(&self, host: &str, known: Known) {
        let mut all = self.lock();
        if all.len() >= REMEMBERED {
            all.clear();
        }
        all.insert(host.to_owned(), known);
    }

    async fn not_before(&self, host: &str) -> Option<DateTime<Utc>> {
        let known = self.lock().get(host).copied();
        if let Some(known) = known.filter(Known::holds) {
            return known.not_before;
        }
        let read = timeout(LEDGER_LIMIT, self.ledger.not_before(host)).await;
        let not_before = match read {
            Ok(Ok(not_before)) => not_before,
            // What cannot be read holds nobody up.
            _ => None,
        };
        self.remember(
            host,
            Known {
                asked: Instant::now(),
                not_before,
                unwritten: false,
            },
        );
        not_before
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use media_shared::{clock::Clock, job::FailureCode};
    use media_testkit::databases;

    use super::*;

    #[tokio::test]
    async fn a_wish_is_heeded_though_it_could_not_be_written_down() {
        let test = databases::sqlite().await;
        let ledger = OriginLedger::new(test.database.clone(), Clock::system());
        let courtesy = Courtesy::new(ledger);
        let url = Url::parse("http://origin.test/").unwrap();
        test.database.close().await.unwrap();
        let headers = HeaderMap::from_iter([(hyper::header::RETRY_AFTER, "60".parse().unwrap())]);
        courtesy
            .note(&url, StatusCode::SERVICE_UNAVAILABLE, &headers)
            .await;
        let long_ago = Instant::now().checked_sub(2 * FRESH).unwrap();
        for asked in [Instant::now(), long_ago] {
            let host = host_key(&url).to_owned();
            courtesy.lock().get_mut(&host).unwrap().asked = asked;
            let refused = courtesy.await_turn(&url).await.unwrap_err();
            assert!(refused.postponed, "{refused:?}");
            assert_eq!(refused.code, FailureCode::OriginBusy);
        }
    }
}
