//! Limits per caller at a time: requests in progress, event streams, uploads, and the memory of answers until clients
//! have read them.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::Body as _;
use ipnet::IpNet;
use media_shared::{config::HttpConfig, list::MAX_PAGE_BYTES};
use poem::{Body, Endpoint, IntoResponse, Request, Response, Result, http::header};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::caller_key::CallerKey;
use crate::{
    jsonapi::{ApiError, ErrorCode},
    routes::{LimitClass, MatchedRoute},
    server::Resumable,
};

mod caller_shares;

use caller_shares::{CallerShares, Share};

/// The longest wait of a list for memory.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(10);
/// The unit in which memory is counted.
const MEMORY_UNIT_BYTES: usize = 64 * 1024;
/// The memory of a list while it is built: its rows and its text.
const LIST_BYTES: usize = 2 * MAX_PAGE_BYTES;
/// The memory that one caller may hold is the total divided by this.
const MEMORY_SHARES: usize = 4;

/// The limits that all requests share.
#[derive(Clone)]
pub(crate) struct RequestLimits(Arc<Limits>);

struct Limits {
    proxies: Vec<IpNet>,
    requests: CallerShares,
    streams: CallerShares,
    /// Event streams of all callers: half of the connections stay free for requests.
    all_streams: Arc<Semaphore>,
    uploads: CallerShares,
    memory: Arc<Semaphore>,
    own_memory: CallerShares,
}

/// The shares that a request holds until its answer has been read.
#[derive(Default)]
struct Held {
    shares: Vec<Share>,
    stream: Option<OwnedSemaphorePermit>,
    memory: Option<HeldMemory>,
}

/// The memory that a list holds: of all, and of its caller's share.
struct HeldMemory {
    total: OwnedSemaphorePermit,
    own: Option<Share>,
}

impl RequestLimits {
    /// Creates the limits. The connections cap the configured limits: one caller gets half of them at most.
    pub(crate) fn new(config: &HttpConfig) -> Self {
        let part = |limit: usize, parts: usize| limit.min(config.max_connections / parts).max(1);
        let memory = config.response_memory.div_ceil(MEMORY_UNIT_BYTES);
        Self(Arc::new(Limits {
            proxies: config.trusted_proxies.clone(),
            requests: CallerShares::new(part(config.caller_requests, 2)),
            streams: CallerShares::new(part(config.caller_streams, 4)),
            all_streams: Arc::new(Semaphore::new(part(usize::MAX, 2))),
            uploads: CallerShares::new(part(config.caller_uploads, 4)),
            memory: Arc::new(Semaphore::new(memory)),
            own_memory: CallerShares::new((memory / MEMORY_SHARES).max(units(LIST_BYTES))),
        }))
    }
}

/// The number of memory units of a number of bytes.
fn units(bytes: usize) -> usize {
    bytes.div_ceil(MEMORY_UNIT_BYTES)
}

impl Limits {
    async fn take(&self, key: Option<&CallerKey>, class: LimitClass) -> Result<Held, ApiError> {
        let mut held = Held::default();
        if class == LimitClass::EventStream {
            let permit = Arc::clone(&self.all_streams).try_acquire_owned();
            held.stream = Some(permit.map_err(|_| {
                ApiError::unavailable("the service has reached its limit of event streams")
            })?);
        }
        if let Some(key) = key {
            held.shares
                .push(take_own(&self.requests, key, "requests in progress")?);
            match class {
                LimitClass::EventStream => {
                    held.shares
                        .push(take_own(&self.streams, key, "event streams")?);
                }
                LimitClass::Upload => held.shares.push(take_own(&self.uploads, key, "uploads")?),
                LimitClass::List | LimitClass::Probe | LimitClass::Other => {}
            }
        }
        if class == LimitClass::List {
            let memory = timeout(MEMORY_TIMEOUT, self.memory(key)).await;
            held.memory = Some(memory.ok().flatten().ok_or_else(|| {
                ApiError::unavailable(
                    "lists that clients are still reading use all the memory for answers",
                )
            })?);
        }
        Ok(held)
    }

    /// Waits for the memory of a list: first for the caller's own share, so that it does not block others.
    async fn memory(&self, key: Option<&CallerKey>) -> Option<HeldMemory> {
        let count = u32::try_from(units(LIST_BYTES)).ok()?;
        let own = match key {
            Some(key) => Some(self.own_memory.take(key, count).await?),
            None => None,
        };
        let total = Arc::clone(&self.memory).acquire_many_owned(count).await;
        // The semaphore is never closed.
        total.ok().map(|total| HeldMemory { total, own })
    }
}

fn take_own(shares: &CallerShares, key: &CallerKey, kind: &str) -> Result<Share, ApiError> {
    shares.try_take(key).ok_or_else(|| {
        ApiError::new(
            ErrorCode::TooManyAtOnce,
            format!("this caller has reached its limit of {kind}; wait until one has ended"),
        )
        .with_header(header::RETRY_AFTER, "1")
    })
}

impl Held {
    /// Returns the memory that the answer does not need.
    fn shrink_to(&mut self, bytes: usize) {
        let Some(HeldMemory { total, own }) = &mut self.memory else {
            return;
        };
        let excess = total.num_permits().saturating_sub(units(bytes));
        drop(total.split(excess));
        if let Some(own) = own {
            own.shrink_to(units(bytes));
        }
    }
}

/// Takes the shares of a request before it is handled, and returns them when its answer has been read.
pub(crate) async fn limit_requests<E: Endpoint>(
    endpoint: Arc<E>,
    request: Request,
    RequestLimits(limits): RequestLimits,
) -> Result<Response> {
    let class = MatchedRoute::from_request(&request).limit();
    let key = CallerKey::from_request(&request, &limits.proxies);
    let mut held = limits.take(key.as_ref(), class).await?;
    let response = endpoint.call(request).await?.into_response();
    let (parts, body) = response.into_parts();
    let body: BoxBody<Bytes, io::Error> = body.into();
    let bytes = body.size_hint().upper().unwrap_or(u64::MAX);
    held.shrink_to(usize::try_from(bytes).unwrap_or(usize::MAX));
    let mut response = Response::from_parts(parts, Body::from(body));
    if class == LimitClass::EventStream && response.status().is_success() {
        response.extensions_mut().insert(Resumable);
    }
    // The server keeps the extensions until the answer has been read.
    response.extensions_mut().insert(Arc::new(held));
    Ok(response)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    fn caller(name: &str) -> CallerKey {
        CallerKey::Subject(name.to_owned(), Vec::new())
    }

    #[tokio::test]
    async fn lists_share_the_memory_and_a_caller_has_a_part_of_it() {
        let config = HttpConfig {
            response_memory: MEMORY_SHARES * LIST_BYTES,
            ..HttpConfig::for_tests()
        };
        let RequestLimits(limits) = RequestLimits::new(&config);
        let [ann, bob] = ["ann", "bob"].map(caller);
        let mut first = limits.take(Some(&ann), LimitClass::List).await.unwrap();
        // The second waits for the first; others do not.
        assert!(
            limits
                .take(Some(&ann), LimitClass::List)
                .now_or_never()
                .is_none()
        );
        assert!(
            limits
                .take(Some(&bob), LimitClass::List)
                .now_or_never()
                .is_some()
        );
        assert!(
            limits
                .take(Some(&ann), LimitClass::Other)
                .now_or_never()
                .is_some()
        );
        // An answer of one byte still holds a unit of memory, so another list does not fit; an empty one holds none.
        first.shrink_to(1);
        assert!(
            limits
                .take(Some(&ann), LimitClass::List)
                .now_or_never()
                .is_none()
        );
        first.shrink_to(0);
        assert!(
            limits
                .take(Some(&ann), LimitClass::List)
                .now_or_never()
                .is_some()
        );
        let _all: Vec<_> = (0..MEMORY_SHARES)
            .map(|n| {
                limits
                    .take(Some(&caller(&n.to_string())), LimitClass::List)
                    .now_or_never()
                    .unwrap()
            })
            .collect();
        assert!(
            limits
                .take(Some(&bob), LimitClass::List)
                .now_or_never()
                .is_none()
        );
    }

    #[tokio::test]
    async fn event_streams_leave_half_of_the_connections_to_others() {
        let RequestLimits(limits) = RequestLimits::new(&HttpConfig::for_tests());
        let mut held = Vec::new();
        for number in 0..8 {
            let caller = caller(&number.to_string());
            held.push(
                limits
                    .take(Some(&caller), LimitClass::EventStream)
                    .await
                    .unwrap(),
            );
        }
        let ninth = limits
            .take(Some(&caller("8")), LimitClass::EventStream)
            .await;
        assert!(ninth.err().unwrap().to_string().starts_with("unavailable"));
        held.pop();
        assert!(
            limits
                .take(Some(&caller("8")), LimitClass::EventStream)
                .await
                .is_ok()
        );
    }
}
