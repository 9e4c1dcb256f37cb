//! Origins that ask to be left alone are: by every import, in every worker.

use std::{
    collections::HashMap,
    fmt::Write as _,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use hyper::{HeaderMap, StatusCode};
use media_database::host_limits::{HostLimits, LONGEST, PROBE_TIME, Turn};
use media_domain::job::Failure;
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};
use tokio::time::{sleep, timeout};
use url::{Origin, Url};

use super::{failure, host_key};

/// How long what the ledger says about an origin is taken for true.
const CACHE_TTL: Duration = Duration::from_secs(1);
/// The most origins that are remembered at once.
const MAX_REMEMBERED: usize = 1024;
/// How long an import waits for an origin; for longer, another job has its place.
const SHORT_WAIT: Duration = Duration::from_secs(2);
/// How often an import that waits asks again.
const ASK_INTERVAL: Duration = Duration::from_millis(250);
/// The window over which imports that waited for the same are spread.
const SPREAD: Duration = Duration::from_millis(500);
/// How long an origin is left alone that does not say for how long.
const DEFAULT_WAIT: Duration = Duration::from_secs(5);
/// How long the ledger may take to answer.
const LEDGER_TIMEOUT: Duration = Duration::from_secs(5);

/// Until when origins want to be left alone.
#[derive(Clone)]
pub(super) struct Courtesy {
    ledger: HostLimits,
    known: Arc<Mutex<HashMap<String, Known>>>,
}

/// Leave to send one request, by which others find out whether they may.
#[derive(Default)]
#[must_use = "its answer has to be noted"]
pub(super) struct Leave {
    /// Keys of which this request is the first one after a wait.
    probes: Vec<String>,
}

#[derive(Clone, Copy)]
struct Known {
    asked: Instant,
    not_before: Option<DateTime<Utc>>,
    /// Whether the ledger does not know it, so that it holds until it is over.
    unwritten: bool,
}

impl Known {
    fn holds(&self) -> bool {
        let is_ahead = self.not_before.is_some_and(|until| until > Utc::now());
        if self.unwritten {
            is_ahead
        } else {
            self.asked.elapsed() < CACHE_TTL && (is_ahead || self.not_before.is_none())
        }
    }
}

/// By which names an origin is known to a request: as such, and to the credentials that go with it.
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
            // Writing to a string does not fail.
            let _ = write!(secrets, "\n{name}:{value:?}");
        }
        let has_any = secrets != ":";
        let credentials = has_any.then(|| {
            // With the origin, so that the same password tells nothing at two origins.
            let hash = Sha256::digest(format!("{origin}\n{secrets}"));
            format!("{origin} {}", hex::encode(&hash[..8]))
        });
        Self {
            origin,
            credentials,
        }
    }

    /// Who is meant by an answer: `429` is about the credentials, if there are some.
    fn meant_by(self, status: StatusCode) -> String {
        match self.credentials {
            Some(credentials) if status == StatusCode::TOO_MANY_REQUESTS => credentials,
            _ => self.origin,
        }
    }
}

impl Courtesy {
    pub(super) fn new(ledger: HostLimits) -> Self {
        Self {
            ledger,
            known: Arc::default(),
        }
    }

    /// Waits until an origin may be asked, if that is soon.
    pub(super) async fn await_turn(&self, url: &Url, custom: &HeaderMap) -> Result<Leave, Failure> {
        let Keys {
            origin,
            credentials,
        } = Keys::new(url, custom);
        let mut leave = Leave::default();
        for key in [Some(origin), credentials].into_iter().flatten() {
            if self.await_one(url, &key).await? {
                leave.probes.push(key);
            }
        }
        Ok(leave)
    }

    /// Says whether the request is the first one after a wait.
    async fn await_one(&self, url: &Url, key: &str) -> Result<bool, Failure> {
        let begun = Instant::now();
        loop {
            let until = match self.turn(key).await {
                Admission::Free => return Ok(false),
                Admission::Probe => return Ok(true),
                Admission::Wait(until) => until,
            };
            let wait = (until - Utc::now()).to_std().unwrap_or_default();
            // A shorter one may be for a request whose answer comes any moment.
            if wait > PROBE_TIME || begun.elapsed() >= SHORT_WAIT {
                return Err(failure::postponed(url, wait));
            }
            // Not all at once.
            let spread = rand::rng().random_range(Duration::ZERO..=SPREAD);
            sleep(wait.min(ASK_INTERVAL) + spread).await;
        }
    }

    /// Takes note of the status of an answer: an origin may ask to be left alone (RFC 6585 §4, RFC 9110
    /// §15.6.4), or not do so any more.
    pub(super) async fn note(
        &self,
        (url, custom): (&Url, &HeaderMap),
        leave: Leave,
        status: StatusCode,
        headers: &HeaderMap,
    ) {
        let busy = [
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::SERVICE_UNAVAILABLE,
        ];
        let asked = busy
            .contains(&status)
            .then(|| Keys::new(url, custom).meant_by(status));
        for key in leave
            .probes
            .iter()
            .filter(|key| Some(*key) != asked.as_ref())
        {
            // If this fails, another request finds out.
            let _ = timeout(LEDGER_TIMEOUT, self.ledger.clear(key)).await;
            self.lock().remove(key);
        }
        if let Some(key) = asked {
            let wait = failure::retry_after(headers).unwrap_or(DEFAULT_WAIT);
            self.back_off(&key, wait).await;
        }
    }

    async fn back_off(&self, key: &str, wait: Duration) {
        let written = timeout(LEDGER_TIMEOUT, self.ledger.back_off(key, wait)).await;
        if matches!(written, Ok(Ok(()))) {
            self.lock().remove(key);
            return;
        }
        tracing::warn!(
            origin = key,
            "that an origin wants to be left alone could not be written down; this worker heeds it"
        );
        let known = Known {
            asked: Instant::now(),
            not_before: Some(Utc::now() + wait.min(LONGEST)),
            unwritten: true,
        };
        self.remember(key, known);
    }

    /// Remembers an origin, in the place of the one that was asked about longest ago if there are too many.
    fn remember(&self, key: &str, known: Known) {
        let mut all = self.lock();
        if all.len() >= MAX_REMEMBERED && !all.contains_key(key) {
            let age = |(_, known): &(&String, &Known)| (known.unwritten, known.asked);
            let oldest = all.iter().min_by_key(age).map(|(key, _)| key.clone());
            oldest.and_then(|key| all.remove(&key));
        }
        all.insert(key.to_owned(), known);
    }

    async fn turn(&self, key: &str) -> Turn {
        let known = self.lock().get(key).copied();
        if let Some(known) = known.filter(Known::holds) {
            return known.not_before.map_or(Admission::Free, Admission::Wait);
        }
        let turn = match timeout(LEDGER_TIMEOUT, self.ledger.turn(key)).await {
            Ok(Ok(turn)) => turn,
            // What cannot be read holds nobody up.
            _ => Admission::Free,
        };
        let not_before = match turn {
            Admission::Free => None,
            // While another request finds out, it is asked about each time.
            Admission::Probe => return turn,
            Admission::Wait(until) if until <= Utc::now() + PROBE_TIME => return turn,
            Admission::Wait(until) => Some(until),
        };
        let known = Known {
            asked: Instant::now(),
            not_before,
            unwritten: false,
        };
        self.remember(key, known);
        turn
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use media_domain::{clock::Clock, job::FailureCode};
    use media_testkit::databases;

    use super::*;

    fn busy_for(seconds: &str) -> HeaderMap {
        HeaderMap::from_iter([(hyper::header::RETRY_AFTER, seconds.parse().unwrap())])
    }

    #[tokio::test]
    async fn a_wish_is_heeded_though_it_could_not_be_written_down() {
        let test = databases::sqlite().await;
        let ledger = HostLimits::new(test.database.clone(), Clock::system());
        let courtesy = Courtesy::new(ledger);
        let url = Url::parse("http://origin.test/").unwrap();
        let none = HeaderMap::new();
        test.database.close().await.unwrap();
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let headers = busy_for("60");
        courtesy
            .note((&url, &none), Leave::default(), status, &headers)
            .await;
        let long_ago = Instant::now().checked_sub(2 * CACHE_TTL).unwrap();
        for asked in [Instant::now(), long_ago] {
            let key = Keys::new(&url, &none).origin;
            courtesy.lock().get_mut(&key).unwrap().asked = asked;
            let refused = courtesy.await_turn(&url, &none).await.err().unwrap();
            assert!(refused.postponed, "{refused:?}");
            assert_eq!(refused.code, FailureCode::OriginBusy);
        }
    }

    #[tokio::test]
    async fn an_origin_speaks_for_itself_and_429_for_credentials_alone() {
        let test = databases::sqlite().await;
        let ledger = HostLimits::new(test.database.clone(), Clock::system());
        let courtesy = Courtesy::new(ledger);
        let of = |text: &str| Url::parse(text).unwrap();
        let key = |value: &str| {
            HeaderMap::from_iter([(hyper::header::AUTHORIZATION, value.parse().unwrap())])
        };
        let may =
            async |url: &Url, custom: &HeaderMap| courtesy.await_turn(url, custom).await.is_ok();
        let url = of("http://origin.test/a");
        let none = HeaderMap::new();
        let (ann, bob) = (key("ann"), key("bob"));
        let status = StatusCode::TOO_MANY_REQUESTS;
        courtesy
            .note((&url, &ann), Leave::default(), status, &busy_for("60"))
            .await;
        assert!(!may(&of("http://origin.test/b"), &ann).await);
        assert!(may(&url, &bob).await);
        assert!(may(&url, &none).await);
        let status = StatusCode::SERVICE_UNAVAILABLE;
        courtesy
            .note((&url, &bob), Leave::default(), status, &busy_for("60"))
            .await;
        let beyond_the_cache = Instant::now().checked_sub(2 * CACHE_TTL).unwrap();
        for known in courtesy.lock().values_mut() {
            known.asked = beyond_the_cache;
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
    async fn what_is_remembered_is_forgotten_one_by_one() {
        let test = databases::sqlite().await;
        let ledger = HostLimits::new(test.database.clone(), Clock::system());
        let courtesy = Courtesy::new(ledger);
        for number in 0..MAX_REMEMBERED + 10 {
            let known = Known {
                asked: Instant::now(),
                not_before: Some(Utc::now() + LONGEST),
                unwritten: number == 0,
            };
            courtesy.remember(&number.to_string(), known);
        }
        let known = courtesy.lock();
        assert_eq!(known.len(), MAX_REMEMBERED);
        assert!(known.contains_key("0") && !known.contains_key("1"));
    }
}
