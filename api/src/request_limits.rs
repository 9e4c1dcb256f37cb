//! How much the requests of one caller take up at once: how many are in progress, how many of them are
//! event streams or uploads, and how much memory answers take until they are read.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::body::Body as _;
use ipnet::IpNet;
use media_shared::{config::HttpConfig, list::MAX_PAGE_BYTES};
use poem::{
    Body, Endpoint, IntoResponse, Middleware, Request, Response, Result,
    http::{Method, header},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use crate::{
    caller_key::CallerKey,
    caller_shares::{CallerShares, Share},
    jsonapi::{ApiError, ErrorCode},
    server::Resumable,
};

/// How long a list waits for memory.
const MEMORY_TIMEOUT: Duration = Duration::from_secs(10);
/// Memory is counted in pieces of this size.
const MEMORY_UNIT_BYTES: usize = 64 * 1024;
/// The memory that a list takes while it is made: its rows and its text.
const LIST_BYTES: usize = 2 * MAX_PAGE_BYTES;
/// The part of the memory that one caller may have.
const MEMORY_SHARES: usize = 4;

/// Limits what the requests of each caller take up.
#[derive(Clone)]
pub(crate) struct RequestLimits(Arc<Limits>);

struct Limits {
    proxies: Vec<IpNet>,
    requests: CallerShares,
    streams: CallerShares,
    /// Event streams of all callers: they never keep requests from having connections.
    all_streams: Arc<Semaphore>,
    uploads: CallerShares,
    memory: Arc<Semaphore>,
    own_memory: CallerShares,
}

/// The share of the limits that a request takes up, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A list: its document is held until the client has read it.
    List,
    Stream,
    Upload,
    Other,
}

impl Kind {
    fn of(method: &Method, path: &str) -> Self {
        let is = |wanted: Method| *method == wanted;
        if is(Method::POST) && path.starts_with("/medias/files/") {
            Self::Upload
        } else if is(Method::GET) && path.starts_with("/jobs/") && path.ends_with("/events") {
            Self::Stream
        } else if is(Method::GET) && matches!(path, "/jobs" | "/medias") {
            Self::List
        } else {
            Self::Other
        }
    }
}

/// The shares that a request holds until its answer has been read.
#[derive(Default)]
struct Held {
    shares: Vec<Share>,
    stream: Option<OwnedSemaphorePermit>,
    memory: Option<(OwnedSemaphorePermit, Option<Share>)>,
}

impl RequestLimits {
    /// As configured. A caller has a part of the connections at most, however many are configured for it.
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

/// Pieces of memory.
fn units(bytes: usize) -> usize {
    bytes.div_ceil(MEMORY_UNIT_BYTES)
}

impl Limits {
    async fn take(&self, key: Option<&CallerKey>, kind: Kind) -> Result<Held, ApiError> {
        let mut held = Held::default();
        if kind == Kind::Stream {
            let permit = Arc::clone(&self.all_streams).try_acquire_owned();
            held.stream = Some(permit.map_err(|_| {
                unavailable("there are as many event streams as the service has room for")
            })?);
        }
        if let Some(key) = key {
            held.shares
                .push(own(&self.requests, key, "requests in progress")?);
            match kind {
                Kind::Stream => held.shares.push(own(&self.streams, key, "event streams")?),
                Kind::Upload => held.shares.push(own(&self.uploads, key, "uploads")?),
                Kind::List | Kind::Other => {}
            }
        }
        if kind == Kind::List {
            let memory = timeout(MEMORY_TIMEOUT, self.memory(key)).await;
            held.memory = Some(memory.ok().flatten().ok_or_else(|| {
                unavailable(
                    "lists that have not been read yet take all memory that answers may have",
                )
            })?);
        }
        Ok(held)
    }

    /// Waits for memory for a list: of the caller's own first, so that it keeps nobody else waiting.
    async fn memory(
        &self,
        key: Option<&CallerKey>,
    ) -> Option<(OwnedSemaphorePermit, Option<Share>)> {
        let count = u32::try_from(units(LIST_BYTES)).ok()?;
        let own = match key {
            Some(key) => Some(self.own_memory.take(key, count).await?),
            None => None,
        };
        let memory = Arc::clone(&self.memory).acquire_many_owned(count).await;
        // It is never closed.
        memory.ok().map(|memory| (memory, own))
    }
}

fn own(shares: &CallerShares, key: &CallerKey, kind: &str) -> Result<Share, ApiError> {
    shares.try_take(key).ok_or_else(|| {
        ApiError::new(
            ErrorCode::TooManyAtOnce,
            format!("this caller has as many {kind} as it may have; wait until one has ended"),
        )
        .with_header(header::RETRY_AFTER, "1")
    })
}

fn unavailable(detail: &str) -> ApiError {
    ApiError::new(
        ErrorCode::Unavailable,
        format!("{detail}; try again in a moment"),
    )
    .with_header(header::RETRY_AFTER, "1")
}

impl Held {
    /// Keeps no more memory than the answer has.
    fn shrink_to(&mut self, bytes: usize) {
        let Some((memory, own)) = &mut self.memory else {
            return;
        };
        let excess = memory.num_permits().saturating_sub(units(bytes));
        drop(memory.split(excess));
        if let Some(own) = own {
            own.shrink_to(units(bytes));
        }
    }
}

impl<E: Endpoint> Middleware<E> for RequestLimits {
    type Output = LimitedRequests<E>;

    fn transform(&self, endpoint: E) -> Self::Output {
        LimitedRequests {
            limits: Arc::clone(&self.0),
            endpoint,
        }
    }
}

/// An endpoint of whose requests each caller has so many at once.
pub(crate) struct LimitedRequests<E> {
    limits: Arc<Limits>,
    endpoint: E,
}

impl<E: Endpoint> Endpoint for LimitedRequests<E> {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Self::Output> {
        let kind = Kind::of(request.method(), request.uri().path());
        let key = CallerKey::from_request(&request, &self.limits.proxies);
        let mut held = self.limits.take(key.as_ref(), kind).await?;
        let response = self.endpoint.call(request).await?.into_response();
        let (parts, body) = response.into_parts();
        let body: BoxBody<Bytes, io::Error> = body.into();
        let bytes = body.size_hint().upper().unwrap_or(u64::MAX);
        held.shrink_to(usize::try_from(bytes).unwrap_or(usize::MAX));
        let mut response = Response::from_parts(parts, Body::from(body));
        if kind == Kind::Stream && response.status().is_success() {
            response.extensions_mut().insert(Resumable);
        }
        // The server keeps the extensions until the answer has been read.
        response.extensions_mut().insert(Arc::new(held));
        Ok(response)
    }
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
        let mut first = limits.take(Some(&ann), Kind::List).await.unwrap();
        // The second waits for the first; others do not.
        assert!(limits.take(Some(&ann), Kind::List).now_or_never().is_none());
        assert!(limits.take(Some(&bob), Kind::List).now_or_never().is_some());
        assert!(
            limits
                .take(Some(&ann), Kind::Other)
                .now_or_never()
                .is_some()
        );
        // A small answer leaves room for nearly another list, an empty one for all of it.
        first.shrink_to(1);
        assert!(limits.take(Some(&ann), Kind::List).now_or_never().is_none());
        first.shrink_to(0);
        assert!(limits.take(Some(&ann), Kind::List).now_or_never().is_some());
        let _all: Vec<_> = (0..MEMORY_SHARES)
            .map(|n| {
                limits
                    .take(Some(&caller(&n.to_string())), Kind::List)
                    .now_or_never()
                    .unwrap()
            })
            .collect();
        assert!(limits.take(Some(&bob), Kind::List).now_or_never().is_none());
    }

    #[tokio::test]
    async fn event_streams_leave_half_of_the_connections_to_others() {
        let RequestLimits(limits) = RequestLimits::new(&HttpConfig::for_tests());
        let mut held = Vec::new();
        for number in 0..8 {
            let caller = caller(&number.to_string());
            held.push(limits.take(Some(&caller), Kind::Stream).await.unwrap());
        }
        let ninth = limits.take(Some(&caller("8")), Kind::Stream).await;
        assert!(ninth.err().unwrap().to_string().starts_with("unavailable"));
        held.pop();
        assert!(limits.take(Some(&caller("8")), Kind::Stream).await.is_ok());
    }

    #[test]
    fn a_request_is_of_the_kind_of_its_path() {
        for (method, path, kind) in [
            (Method::GET, "/jobs", Kind::List),
            (Method::POST, "/jobs", Kind::Other),
            (Method::GET, "/jobs/1/events", Kind::Stream),
            (Method::GET, "/jobs/1", Kind::Other),
            (Method::GET, "/medias", Kind::List),
            (Method::POST, "/medias/files/a/b", Kind::Upload),
            (Method::GET, "/medias/files/a/b", Kind::Other),
        ] {
            assert_eq!(Kind::of(&method, path), kind, "{method} {path}");
        }
    }
}
