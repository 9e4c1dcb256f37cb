//! How many requests one caller may make: a token bucket for each, in each API.

use std::{convert::Infallible, net::IpAddr, num::NonZeroU32, sync::Arc, time::Duration};

use governor::{
    NotUntil, Quota, RateLimiter,
    clock::{Clock as _, DefaultClock},
    middleware::{StateInformationMiddleware, StateSnapshot},
    state::keyed::HashMapStateStore,
};
use ipnet::IpNet;
use media_shared::{caller::Caller, config::HttpConfig};
use poem::{
    Endpoint, IntoResponse, Middleware, Request, Response, Result,
    http::{HeaderName, HeaderValue, StatusCode, header},
};
use tokio::time::sleep;

use crate::{
    access::caller_of,
    authentication::{Access, access},
    client_address::{client_address, site},
    jsonapi::{ApiError, ErrorCode},
};

/// The bucket holds as much as comes in so many seconds.
const BURST_SECONDS: u32 = 10;
/// The most callers that are told apart; beyond it, new ones share a bucket.
const MAX_CALLERS: usize = 100_000;
/// How often callers are forgotten whose buckets are full again.
const FORGET_EVERY: Duration = Duration::from_secs(10);

// draft-ietf-httpapi-ratelimit-headers-03, as most clients read them.
const LIMIT: HeaderName = HeaderName::from_static("ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("ratelimit-reset");

/// Limits the requests of each caller.
#[derive(Clone)]
pub(crate) struct RateLimit(Option<Arc<Buckets>>);

/// Who has a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Key {
    /// Whom a token names, with its projects: two projects may each have an `ann`.
    Subject(String, Vec<String>),
    /// Who sent no token, by where it comes from.
    Address(IpAddr),
    /// Whoever comes when too many are known, or from nowhere.
    Others,
}

struct Buckets {
    limiter: RateLimiter<Key, HashMapStateStore<Key>, DefaultClock, StateInformationMiddleware>,
    clock: DefaultClock,
    trusted_proxies: Vec<IpNet>,
    rate: NonZeroU32,
}

impl RateLimit {
    /// As configured.
    pub(crate) fn new(config: &HttpConfig) -> Self {
        Self(config.rate_limit.map(|rate| {
            let burst = rate.saturating_mul(seconds());
            let quota = Quota::per_second(rate).allow_burst(burst);
            Arc::new(Buckets {
                limiter: RateLimiter::hashmap(quota).with_middleware(),
                clock: DefaultClock::default(),
                trusted_proxies: config.trusted_proxies.clone(),
                rate,
            })
        }))
    }

    /// Forgets callers that are no longer heard of. Runs for good; whoever drops it ends it.
    pub(crate) async fn forget(self) -> Infallible {
        loop {
            sleep(FORGET_EVERY).await;
            if let Some(buckets) = &self.0 {
                buckets.limiter.retain_recent();
                buckets.limiter.shrink_to_fit();
            }
        }
    }
}

impl Buckets {
    fn key(&self, request: &Request) -> Key {
        let key = match caller_of(request) {
            Caller::Known(principal) => {
                Key::Subject(principal.subject.clone(), principal.projects.clone())
            }
            Caller::Anonymous | Caller::Trusted => self.address_of(request),
        };
        self.known(key)
    }

    fn address_of(&self, request: &Request) -> Key {
        client_address(request, &self.trusted_proxies)
            .map_or(Key::Others, |address| Key::Address(site(address)))
    }

    fn known(&self, key: Key) -> Key {
        if self.limiter.len() < MAX_CALLERS {
            key
        } else {
            Key::Others
        }
    }

    /// Takes a request out of its caller's bucket.
    fn take(&self, key: &Key) -> Result<[(HeaderName, u32); 3], ApiError> {
        self.limiter
            .check_key(key)
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
        // Whole seconds (RFC 9110 §10.2.3), and never none.
        let wait = wait.as_secs() + 1;
        ApiError::new(
            ErrorCode::RateLimited,
            format!(
                "more than {} requests a second; try again after a while",
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

impl<E: Endpoint> Middleware<E> for RateLimit {
    type Output = LimitedEndpoint<E>;

    fn transform(&self, endpoint: E) -> Self::Output {
        LimitedEndpoint {
            limit: self.clone(),
            endpoint,
        }
    }
}

/// An endpoint that each caller asks so often at most.
pub(crate) struct LimitedEndpoint<E> {
    limit: RateLimit,
    endpoint: E,
}

impl<E: Endpoint> Endpoint for LimitedEndpoint<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Self::Output> {
        let open = access(request.method(), request.uri().path()) == Access::Open;
        let limited = self.limit.0.as_ref().filter(|_| !open);
        // Without authentication, whoever reaches the service is on this machine.
        let limited = limited.filter(|_| *caller_of(&request) != Caller::Trusted);
        let Some(buckets) = limited else {
            return Ok(self.endpoint.call(request).await?.into_response());
        };
        let headers = buckets.take(&buckets.key(&request))?;
        let mut response = self.endpoint.call(request).await?.into_response();
        for (name, value) in headers {
            response
                .headers_mut()
                .insert(name, HeaderValue::from(value));
        }
        Ok(response)
    }
}

/// Limits how often an address may try tokens that are not believed.
pub(crate) struct RefusalLimit(pub(crate) RateLimit);

impl<E: Endpoint> Middleware<E> for RefusalLimit {
    type Output = RefusalLimitedEndpoint<E>;

    fn transform(&self, endpoint: E) -> Self::Output {
        RefusalLimitedEndpoint {
            limit: self.0.clone(),
            endpoint,
        }
    }
}

/// An endpoint whose refusals of tokens are counted.
pub(crate) struct RefusalLimitedEndpoint<E> {
    limit: RateLimit,
    endpoint: E,
}

impl<E: Endpoint> Endpoint for RefusalLimitedEndpoint<E> {
    type Output = E::Output;

    async fn call(&self, request: Request) -> Result<Self::Output> {
        let Some(buckets) = &self.limit.0 else {
            return self.endpoint.call(request).await;
        };
        let address = buckets.address_of(&request);
        let answer = self.endpoint.call(request).await;
        match answer {
            Err(error) if error.status() == StatusCode::UNAUTHORIZED => {
                buckets.take(&buckets.known(address))?;
                Err(error)
            }
            answer => answer,
        }
    }
}

#[cfg(test)]
mod tests {
    use media_shared::config::CorsOrigins;

    use super::*;

    fn buckets(rate: u32) -> Arc<Buckets> {
        let config = HttpConfig {
            rate_limit: NonZeroU32::new(rate),
            max_connections: 16,
            trusted_proxies: Vec::new(),
            cors: CorsOrigins::Listed(Vec::new()),
            inline_pdf: false,
        };
        RateLimit::new(&config).0.unwrap()
    }

    #[test]
    fn a_bucket_holds_ten_seconds_and_says_what_is_left() {
        let buckets = buckets(1);
        let request = Request::default();
        for left in (0..10).rev() {
            let headers = buckets.take(&buckets.key(&request)).unwrap();
            assert_eq!(headers[0].1, 10);
            assert_eq!(headers[1].1, left);
            assert_eq!(headers[2].1, 10 - left);
        }
        let refused = buckets.take(&buckets.key(&request)).unwrap_err();
        assert!(refused.to_string().starts_with("rate_limited"), "{refused}");
    }
}
