//! Limits the request rate of each caller with a token bucket. Each API process has its own buckets.

use std::{
    convert::Infallible,
    hash::{BuildHasher as _, RandomState},
    net::IpAddr,
    num::NonZeroU32,
    sync::Arc,
    time::Duration,
};

use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::{NoOpMiddleware, StateInformationMiddleware, StateSnapshot},
    nanos::Nanos,
    state::{InMemoryState, NotKeyed, StateStore, keyed::HashMapStateStore},
};
use ipnet::IpNet;
use media_shared::config::HttpConfig;
use poem::{
    Endpoint, IntoResponse, Request, Response, Result,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use tokio::time::sleep;

use super::caller_key::{CallerKey, address_of};
use crate::{
    jsonapi::{ApiError, ErrorCode},
    routes::{LimitClass, MatchedRoute},
};

/// The capacity of a bucket, in seconds of its rate.
const BURST_SECONDS: u32 = 10;
/// The number of buckets for addresses. Addresses that share a bucket share its limit; to exhaust all buckets takes
/// this number of full bursts.
const ADDRESS_BUCKETS: usize = 1 << 17;
/// How often full buckets are dropped.
const SWEEP_INTERVAL: Duration = Duration::from_secs(10);

// draft-ietf-httpapi-ratelimit-headers-03, the version that most clients support.
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Limits the requests of each caller.
#[derive(Clone)]
pub(crate) struct RateLimit(Option<Arc<Buckets>>);

type Limiter<S> = RateLimiter<<S as StateStore>::Key, S, DefaultClock, StateInformationMiddleware>;

struct Buckets {
    /// The buckets of callers with a token. Only valid tokens create them.
    callers: Limiter<HashMapStateStore<CallerKey>>,
    /// The buckets of addresses: a fixed number.
    addresses: Limiter<AddressBuckets>,
    clock: DefaultClock,
    trusted_proxies: Vec<IpNet>,
    rate: NonZeroU32,
}

fn limiter<S: StateStore>(quota: Quota, buckets: S) -> Limiter<S> {
    let plain: RateLimiter<_, _, _, NoOpMiddleware> =
        RateLimiter::new(quota, buckets, DefaultClock::default());
    plain.with_middleware()
}

/// A fixed number of buckets; a keyed hash, which clients cannot predict, assigns addresses to them.
struct AddressBuckets {
    hash: RandomState,
    buckets: Box<[InMemoryState]>,
}

impl AddressBuckets {
    fn new() -> Self {
        Self {
            hash: RandomState::new(),
            buckets: (0..ADDRESS_BUCKETS)
                .map(|_| InMemoryState::default())
                .collect(),
        }
    }
}

impl StateStore for AddressBuckets {
    type Key = Option<IpAddr>;

    fn measure_and_replace<T, F, E>(&self, address: &Self::Key, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let hash = self.hash.hash_one(address);
        // The remainder is less than the number of buckets, so it fits and is an index.
        #[allow(
            clippy::cast_possible_truncation,
            reason = "reduced to the number of buckets"
        )]
        let index = (hash % ADDRESS_BUCKETS as u64) as usize;
        self.buckets[index].measure_and_replace(&NotKeyed::NonKey, measure)
    }
}

impl RateLimit {
    /// Creates the limit from the configuration.
    pub(crate) fn new(config: &HttpConfig) -> Self {
        Self(config.rate_limit.map(|rate| {
            let burst = rate.saturating_mul(seconds());
            let quota = Quota::per_second(rate).allow_burst(burst);
            Arc::new(Buckets {
                callers: limiter(quota, HashMapStateStore::default()),
                addresses: limiter(quota, AddressBuckets::new()),
                clock: DefaultClock::default(),
                trusted_proxies: config.trusted_proxies.clone(),
                rate,
            })
        }))
    }

    /// Drops full buckets, until the future is dropped.
    pub(crate) async fn sweep(self) -> Infallible {
        loop {
            sleep(SWEEP_INTERVAL).await;
            if let Some(buckets) = &self.0 {
                buckets.callers.retain_recent();
                buckets.callers.shrink_to_fit();
            }
        }
    }
}

impl Buckets {
    /// Takes a token out of a caller's bucket, and returns the headers that state its level.
    fn take(&self, key: &CallerKey) -> Result<[(HeaderName, u32); 3], ApiError> {
        let taken = match key {
            CallerKey::Subject(..) => self.callers.check_key(key),
            CallerKey::Address(address) => self.addresses.check_key(address),
        };
        taken
            .map(|state| self.headers(&state))
            .map_err(|until| self.refusal(&until))
    }

    fn headers(&self, state: &StateSnapshot) -> [(HeaderName, u32); 3] {
        let burst = state.quota().burst_size().get();
        let remaining = state.remaining_burst_capacity().min(burst);
        let reset = (burst - remaining).div_ceil(self.rate.get());
        [(LIMIT, burst), (REMAINING, remaining), (RESET, reset)]
    }

    fn refusal(
        &self,
        until: &NotUntil<<DefaultClock as governor::clock::Clock>::Instant>,
    ) -> ApiError {
        let burst = until.quota().burst_size().get();
        let wait = until.wait_time_from(self.clock.now());
        // Whole seconds (RFC 9110 §10.2.3), at least one.
        let wait = wait.as_secs() + 1;
        ApiError::new(
            ErrorCode::RateLimited,
            format!(
                "more than {} requests a second; try again after the time in Retry-After",
                self.rate
            ),
        )
        .with_header(header::RETRY_AFTER, wait.to_string())
        .with_header(LIMIT, burst.to_string())
        .with_header(REMAINING, "0")
        .with_header(RESET, burst.div_ceil(self.rate.get()).to_string())
    }
}

fn seconds() -> NonZeroU32 {
    NonZeroU32::MIN.saturating_add(BURST_SECONDS - 1)
}

/// Counts each request against its caller's limit.
pub(crate) async fn limit_rate<E: Endpoint>(
    endpoint: Arc<E>,
    request: Request,
    limit: RateLimit,
) -> Result<Response> {
    let limited = (limit.0.as_ref())
        .filter(|_| MatchedRoute::from_request(&request).limit() != LimitClass::Probe)
        .and_then(|buckets| {
            let key = CallerKey::from_request(&request, &buckets.trusted_proxies)?;
            Some((buckets, key))
        });
    let Some((buckets, key)) = limited else {
        return Ok(endpoint.call(request).await?.into_response());
    };
    let headers = buckets.take(&key)?;
    let mut response = endpoint.call(request).await?.into_response();
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from(value));
    }
    Ok(response)
}

/// Counts rejected tokens against the limit of the client's address.
pub(crate) async fn limit_refusals<E: Endpoint>(
    endpoint: Arc<E>,
    request: Request,
    limit: RateLimit,
) -> Result<E::Output> {
    let Some(buckets) = &limit.0 else {
        return endpoint.call(request).await;
    };
    let address = CallerKey::Address(address_of(&request, &buckets.trusted_proxies));
    let answer = endpoint.call(request).await;
    match answer {
        Err(error) if error.status() == StatusCode::UNAUTHORIZED => {
            buckets.take(&address)?;
            Err(error)
        }
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buckets(rate: u32) -> Arc<Buckets> {
        let config = HttpConfig {
            rate_limit: NonZeroU32::new(rate),
            ..HttpConfig::for_tests()
        };
        RateLimit::new(&config).0.unwrap()
    }

    #[test]
    fn addresses_do_not_use_up_the_bucket_of_a_token() {
        let buckets = buckets(1);
        for address in 0..200_000_u32 {
            let address = IpAddr::V4(address.into());
            let _ = buckets.take(&CallerKey::Address(Some(address)));
        }
        for name in ["ann", "bob"] {
            let caller = CallerKey::Subject(name.to_owned(), Vec::new());
            let headers = buckets.take(&caller).unwrap();
            assert_eq!(headers[1].1, 9, "{name}");
        }
    }

    #[test]
    fn a_bucket_holds_ten_seconds_and_its_level_is_in_the_headers() {
        let buckets = buckets(1);
        let key = CallerKey::Address(None);
        for left in (0..10).rev() {
            let headers = buckets.take(&key).unwrap();
            assert_eq!(headers[0].1, 10);
            assert_eq!(headers[1].1, left);
            assert_eq!(headers[2].1, 10 - left);
        }
        let refused = buckets.take(&key).unwrap_err();
        assert!(refused.to_string().starts_with("rate_limited"), "{refused}");
    }
}
