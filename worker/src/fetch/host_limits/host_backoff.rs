//! The back-off of origins that ask clients to wait (429, 503), which all imports of all workers observe.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use hyper::{HeaderMap, StatusCode};
use media_shared::origin_ledger::{LONGEST, OriginLedger, PROBE_TIME, Turn};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use tokio::time::{sleep, timeout};
use url::{Origin, Url};

use super::host_key::host_key;
use crate::fetch::{error::ExchangeError, retry_after::retry_after};

/// How long the database's answer about an origin is cached.
const CACHE_TTL: Duration = Duration::from_secs(1);
/// Maximum number of cached origins.
const MAX_CACHED: usize = 1024;
/// Maximum time that an import waits for an origin; then its worker runs another job.
const MAX_WAIT: Duration = Duration::from_secs(2);
/// Interval at which a waiting import asks again.
const POLL_INTERVAL: Duration = Duration::from_millis(250);
/// Window over which imports that wait for one origin are spread.
const MAX_JITTER: Duration = Duration::from_millis(500);
/// Back-off of an origin that sends no `Retry-After`.
const DEFAULT_BACKOFF: Duration = Duration::from_secs(5);
/// Timeout of a statement.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(5);

/// The back-off of all origins, with a cache.
#[derive(Clone)]
pub(in crate::fetch) struct HostBackoff {
    ledger: OriginLedger,
    cache: Arc<Mutex<HashMap<String, Cached>>>,
}

/// Permission to send one request.
#[derive(Default)]
#[must_use = "its answer has to be recorded"]
pub(in crate::fetch) struct Admission {
    /// Keys for which this is the first request after a back-off: its answer decides for the others.
    probes: Vec<String>,
}

#[derive(Clone, Copy)]
struct Cached {
    at: Instant,
    not_before: Option<DateTime<Utc>>,
    /// Whether the database could not store it, so that the entry is valid until the back-off ends.
    is_unsaved: bool,
}

impl Cached {
    fn is_valid(&self) -> bool {
        let is_backing_off = self.not_before.is_some_and(|until| until > Utc::now());
        if self.is_unsaved {
            is_backing_off
        } else {
            self.at.elapsed() < CACHE_TTL && (is_backing_off || self.not_before.is_none())
        }
    }
}

/// The keys of a request's back-off: the origin, and the origin with the request's credentials.
struct Keys {
    origin: String,
    credentials: Option<String>,
}

impl Keys {
    fn new(url: &Url, custom: &HeaderMap) -> Self {
        let port = url.port_or_known_default().unwrap_or_default();
        let origin = Origin::Tuple(
            url.scheme().to_owned(),
            url::Host::Domain(host_key(url).to_owned()),
            port,
        );
        let origin = origin.ascii_serialization();
        let mut secrets = [url.username(), url.password().unwrap_or_default()].join(":");
        for (name, value) in custom {
            // Writing to a string cannot fail.
            let _ = write!(secrets, "\n{name}:{value:?}");
        }
        let has_any = secrets != ":";
        let credentials = has_any.then(|| {
            // Hashed with the origin, so that equal passwords at two origins have different keys.
            let hash = Sha256::digest(format!("{origin}\n{secrets}"));
            format!("{origin} {}", hex::encode(&hash[..8]))
        });
        Self {
            origin,
            credentials,
        }
    }

    /// Returns the key that an answer is about: `429` is about the credentials, if there are any.
    fn affected_by(self, status: StatusCode) -> String {
        match self.credentials {
            Some(credentials) if status == StatusCode::TOO_MANY_REQUESTS => credentials,
            _ => self.origin,
        }
    }
}

impl HostBackoff {
    pub(in crate::fetch) fn new(ledger: OriginLedger) -> Self {
        Self {
            ledger,
            cache: Arc::default(),
        }
    }

    /// Waits until an origin may be asked, if that is soon; otherwise [`ExchangeError::HostBackoff`].
    pub(in crate::fetch) async fn admit(
        &self,
        url: &Url,
        custom: &HeaderMap,
    ) -> Result<Admission, ExchangeError> {
        let Keys {
            origin,
            credentials,
        } = Keys::new(url, custom);
        let mut admission = Admission::default();
        for key in [Some(origin), credentials].into_iter().flatten() {
            if self.admit_key(&key).await? {
                admission.probes.push(key);
            }
        }
        Ok(admission)
    }

    /// Returns whether this is the first request after a back-off.
    async fn admit_key(&self, key: &str) -> Result<bool, ExchangeError> {
        let begun = Instant::now();
        loop {
            let until = match self.turn(key).await {
                Turn::Free => return Ok(false),
                Turn::Probe => return Ok(true),
                Turn::Wait(until) => until,
            };
            let wait = (until - Utc::now()).to_std().unwrap_or_default();
            // A shorter wait may be for the answer to the first request after a back-off.
            if wait > PROBE_TIME || begun.elapsed() >= MAX_WAIT {
                return Err(ExchangeError::HostBackoff(wait));
            }
            let jitter = rand::rng().random_range(Duration::ZERO..=MAX_JITTER);
            sleep(wait.min(POLL_INTERVAL) + jitter).await;
        }
    }

    /// Records the status of an answer: the origin may ask for a back-off (RFC 6585 §4, RFC 9110 §15.6.4), or no
    /// longer do so.
    pub(in crate::fetch) async fn record_answer(
        &self,
        (url, custom): (&Url, &HeaderMap),
        admission: Admission,
        status: StatusCode,
        headers: &HeaderMap,
    ) {
        let busy = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ];
        let affected = busy
            .contains(&status)
            .then(|| Keys::new(url, custom).affected_by(status));
        for key in admission
            .probes
            .iter()
            .filter(|key| Some(*key) != affected.as_ref())
        {
            // If this fails, another request is sent first.
            let _ = timeout(STATEMENT_TIMEOUT, self.ledger.clear(key)).await;
            self.lock().remove(key);
        }
        if let Some(key) = affected {
            let wait = retry_after(headers).unwrap_or(DEFAULT_BACKOFF);
            self.back_off(&key, wait).await;
        }
    }

    async fn back_off(&self, key: &str, wait: Duration) {
        let saved = timeout(STATEMENT_TIMEOUT, self.ledger.leave_alone(key, wait)).await;
        if matches!(saved, Ok(Ok(()))) {
            self.lock().remove(key);
            return;
        }
        tracing::warn!(
            origin = key,
            "the back-off of an origin could not be stored; only this worker observes it"
        );
        let cached = Cached {
            at: Instant::now(),
            not_before: Some(Utc::now() + wait.min(LONGEST)),
            is_unsaved: true,
        };
        self.cache(key, cached);
    }

    /// Caches an origin. A full cache evicts its oldest entry, and unsaved ones last.
    fn cache(&self, key: &str, cached: Cached) {
        let mut all = self.lock();
        if all.len() >= MAX_CACHED && !all.contains_key(key) {
            let age = |(_, cached): &(&String, &Cached)| (cached.is_unsaved, cached.at);
            let oldest = all.iter().min_by_key(age).map(|(key, _)| key.clone());
            oldest.and_then(|key| all.remove(&key));
        }
        all.insert(key.to_owned(), cached);
    }

    async fn turn(&self, key: &str) -> Turn {
        let cached = self.lock().get(key).copied();
        if let Some(cached) = cached.filter(Cached::is_valid) {
            return cached.not_before.map_or(Turn::Free, Turn::Wait);
        }
        let turn = match timeout(STATEMENT_TIMEOUT, self.ledger.turn(key)).await {
            Ok(Ok(turn)) => turn,
            // A failed query does not delay imports.
            _ => Turn::Free,
        };
        let not_before = match turn {
            Turn::Free => None,
            // Not cached while the first request after a back-off is under way.
            Turn::Probe => return turn,
            Turn::Wait(until) if until <= Utc::now() + PROBE_TIME => return turn,
            Turn::Wait(until) => Some(until),
        };
        let cached = Cached {
            at: Instant::now(),
            not_before,
            is_unsaved: false,
        };
        self.cache(key, cached);
        turn
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Cached>> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use media_shared::{clock::Clock, job::FailureCode};
    use media_testkit::databases;

    use super::*;
    use crate::fetch::error::FetchFailure;

    fn busy_for(seconds: &str) -> HeaderMap {
        HeaderMap::from_iter([(hyper::header::RETRY_AFTER, seconds.parse().unwrap())])
    }

    #[tokio::test]
    async fn a_back_off_that_could_not_be_stored_is_observed() {
        let test = databases::sqlite().await;
        let ledger = OriginLedger::new(test.database.clone(), Clock::system());
        let backoff = HostBackoff::new(ledger);
        let url = Url::parse("http://origin.test/").unwrap();
        let none = HeaderMap::new();
        test.database.close().await.unwrap();
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let headers = busy_for("60");
        backoff
            .record_answer((&url, &none), Admission::default(), status, &headers)
            .await;
        let long_ago = Instant::now().checked_sub(2 * CACHE_TTL).unwrap();
        for at in [Instant::now(), long_ago] {
            let key = Keys::new(&url, &none).origin;
            backoff.lock().get_mut(&key).unwrap().at = at;
            let refused = backoff.admit(&url, &none).await.err().unwrap();
            let refused = FetchFailure::new(&url, refused);
            assert!(refused.is_postponed, "{}", refused.error);
            assert_eq!(refused.error.code(), FailureCode::OriginBusy);
        }
    }

    #[tokio::test]
    async fn status_429_is_about_credentials_and_503_about_the_origin() {
        let test = databases::sqlite().await;
        let ledger = OriginLedger::new(test.database.clone(), Clock::system());
        let backoff = HostBackoff::new(ledger);
        let of = |text: &str| Url::parse(text).unwrap();
        let key = |value: &str| {
            HeaderMap::from_iter([(hyper::header::AUTHORIZATION, value.parse().unwrap())])
        };
        let may = async |url: &Url, custom: &HeaderMap| backoff.admit(url, custom).await.is_ok();
        let url = of("http://origin.test/a");
        let none = HeaderMap::new();
        let (ann, bob) = (key("ann"), key("bob"));
        let status = StatusCode::TOO_MANY_REQUESTS;
        backoff
            .record_answer((&url, &ann), Admission::default(), status, &busy_for("60"))
            .await;
        assert!(!may(&of("http://origin.test/b"), &ann).await);
        assert!(may(&url, &bob).await);
        assert!(may(&url, &none).await);
        let status = StatusCode::SERVICE_UNAVAILABLE;
        backoff
            .record_answer((&url, &bob), Admission::default(), status, &busy_for("60"))
            .await;
        let expired = Instant::now().checked_sub(2 * CACHE_TTL).unwrap();
        for cached in backoff.lock().values_mut() {
            cached.at = expired;
        }
        assert!(!may(&url, &none).await);
        for other in [
            "https://origin.test/",
            "http://origin.test:8080/",
            "http://other.test/",
        ] {
            assert!(may(&of(other), &none).await, "{other}");
        }
    }

    #[tokio::test]
    async fn a_full_cache_evicts_its_oldest_entry() {
        let test = databases::sqlite().await;
        let ledger = OriginLedger::new(test.database.clone(), Clock::system());
        let backoff = HostBackoff::new(ledger);
        for number in 0..MAX_CACHED + 10 {
            let cached = Cached {
                at: Instant::now(),
                not_before: Some(Utc::now() + LONGEST),
                is_unsaved: number == 0,
            };
            backoff.cache(&number.to_string(), cached);
        }
        let cache = backoff.lock();
        assert_eq!(cache.len(), MAX_CACHED);
        assert!(cache.contains_key("0") && !cache.contains_key("1"));
    }
}
