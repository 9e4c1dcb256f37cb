//! Fetches a URL: through the egress gate, redirect by redirect, with a limit on every wait.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Request, Response, StatusCode, Uri,
    body::Incoming,
    header::{self, HeaderMap, HeaderName, HeaderValue},
};
use media_database::host_limits::HostLimits;
use media_domain::{
    ids::WorkerId,
    job::{Failure, FailureCode, arguments::redact_url},
};
use media_services::config::FetchLimits;
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use tokio::{
    sync::{Notify, Semaphore},
    time::timeout,
};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, info_span};
use url::{Position, Url};

use crate::egress::Dialer;

mod ahead;
mod body;
mod coding;
mod connect;
mod cookies;
mod courtesy;
mod failure;
mod flight;
mod head;
mod origin_slots;
mod pilot;
mod redirect;
mod transfer;
mod validator;

use body::{Body, RawBody};
use connect::{Connection, Connector};
use cookies::Cookies;
use courtesy::Courtesy;
use head::BodyPlan;
pub use head::Head;
use origin_slots::{OriginSlots, Slot};
pub use transfer::Transfer;
pub use validator::Validator;

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 10;
/// How many interim answers (1xx) an origin may send before its answer.
const MAX_INTERIM: usize = 16;
/// The memory for bytes that were fetched ahead of their turn, in mebibytes.
const AHEAD_MEBIBYTES: usize = 32;
/// How the service names itself to origins.
const PRODUCT: &str = concat!("media-importer/", env!("CARGO_PKG_VERSION"));

/// Fetches URLs.
#[derive(Clone)]
pub struct Fetcher {
    connector: Connector,
    limits: FetchLimits,
    user_agent: HeaderValue,
    slots: OriginSlots,
    courtesy: Courtesy,
    /// What may be held of bytes that were fetched ahead, by all imports, in mebibytes.
    memory: Arc<Semaphore>,
    /// How many connections one import may have.
    most_at_once: usize,
}

/// What is fetched, and what goes with the request.
#[derive(Clone, Debug)]
pub struct Target {
    url: Url,
    /// To the first origin only.
    headers: HeaderMap,
    /// Of the URL's origin.
    cookies: Cookies,
}

/// What tells the bytes at a URL from others that may be there later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// How many there are, if the origin says so.
    pub total: Option<u64>,
    /// Stays as long as they do.
    pub validator: Option<Validator>,
}

/// Part of the bytes: from `start` to just before `end`, or to the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Part {
    start: u64,
    end: Option<u64>,
}

/// Why nothing was fetched.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// It failed.
    #[error(transparent)]
    Failed(#[from] Failure),
    /// The origin has other bytes by now, or does not give parts of them: what there is of them
    /// cannot be gone on with.
    #[error("the bytes at the origin are not those of before")]
    Changed(
        /// The bytes that it has instead, from the first one on, if it has sent them right away.
        Option<Box<Transfer>>,
    ),
}

impl Target {
    /// A URL, and the headers that the client wants sent to its origin.
    pub fn new(url: &Url, headers: Option<&BTreeMap<String, String>>) -> Result<Self, Failure> {
        Ok(Self {
            url: url.clone(),
            headers: custom_headers(headers)?,
            cookies: Cookies::default(),
        })
    }
}

impl Identity {
    /// Whether the bytes can be fetched in parts that are sure to be parts of the same.
    pub fn can_be_resumed(&self) -> bool {
        self.validator.is_some()
    }
}

/// An answer that is being read.
struct Opened {
    head: Head,
    /// Where it came from without a redirect.
    near: Target,
    body: Body,
}

/// An answer, and the connection that it comes over.
struct Answer {
    /// The target that was asked in the end, with the headers of the request.
    target: Target,
    response: Response<Incoming>,
    connection: Connection,
}

impl Fetcher {
    /// Makes a fetcher whose connections the dialler makes, so many at once to each host by all workers
    /// together, of which one import may have half. `contact` is where origins can write to.
    pub fn new(
        dialer: Dialer,
        limits: FetchLimits,
        (origins, worker): (HostLimits, WorkerId),
        connections: usize,
        contact: Option<&str>,
    ) -> Result<Self, crate::tls::TrustError> {
        let named = contact.map(|contact| format!("{PRODUCT} (+{contact})"));
        let user_agent = named.and_then(|name| HeaderValue::try_from(name).ok());
        Ok(Self {
            connector: Connector::new(dialer, limits.connect)?,
            limits,
            user_agent: user_agent.unwrap_or(HeaderValue::from_static(PRODUCT)),
            slots: OriginSlots::new(origins.clone(), worker, connections),
            courtesy: Courtesy::new(origins),
            memory: Arc::new(Semaphore::new(AHEAD_MEBIBYTES)),
            most_at_once: connections.div_ceil(2),
        })
    }

    /// Keeps to what the other workers leave of each host, until `end`.
    pub async fn keep_shares(self, end: CancellationToken) {
        self.slots.keep(end).await;
    }

    /// Begins to fetch all the bytes.
    pub async fn start(&self, target: &Target) -> Result<Transfer, Failure> {
        let answer = self.request(target, HeaderMap::new(), None).await?;
        self.whole(target, answer)
    }

    /// Goes on fetching bytes that `identity` tells, from an offset that is not their end.
    pub async fn resume(
        &self,
        target: &Target,
        identity: &Identity,
        offset: u64,
    ) -> Result<Transfer, FetchError> {
        let part = Part {
            start: offset,
            end: None,
        };
        let opened = self.part(target, identity, part, None).await?;
        Ok(Transfer::new(self.clone(), target.clone(), opened, offset))
    }

    fn whole(&self, target: &Target, answer: Answer) -> Result<Transfer, Failure> {
        let (head, plan) = Head::of_whole(answer.target.url.clone(), &answer.response)?;
        let opened = self.opened(head, plan, answer);
        Ok(Transfer::new(self.clone(), target.clone(), opened, 0))
    }

    /// Asks for a part of the bytes, over a slot that was taken before if there is one.
    async fn part(
        &self,
        target: &Target,
        identity: &Identity,
        part: Part,
        slot: Option<Slot>,
    ) -> Result<Opened, FetchError> {
        let range = part_headers(identity, part).ok_or(FetchError::Changed(None))?;
        let answer = self.request(target, range, slot).await?;
        if answer.response.status() == StatusCode::OK {
            let whole = self.whole(target, answer)?;
            return Err(FetchError::Changed(Some(Box::new(whole))));
        }
        let url = answer.target.url.clone();
        let (head, plan) = Head::of_part(url, &answer.response, part, identity)?;
        Ok(self.opened(head, plan, answer))
    }

    fn opened(&self, head: Head, plan: BodyPlan, answer: Answer) -> Opened {
        let body = RawBody::new(
            answer.target.url.clone(),
            answer.response.into_body(),
            answer.connection,
            self.limits.stall,
            plan.length,
        );
        Opened {
            head,
            near: answer.target,
            body: Body::new(body, plan.codings),
        }
    }

    /// Asks for a URL and follows redirects to an answer that is none.
    async fn request(
        &self,
        target: &Target,
        range: HeaderMap,
        mut slot: Option<Slot>,
    ) -> Result<Answer, Failure> {
        let mut target = target.clone();
        for _ in 0..=MAX_REDIRECTS {
            let span = info_span!("exchange", server.address = target.url.host_str());
            let exchange = self.exchange(&target, &range, slot.take());
            let (response, connection) = exchange.instrument(span).await?;
            let may_downgrade = self.connector.dialer().gate().allows_downgrade();
            let Some(next) = redirect::target(&target.url, &response, may_downgrade)? else {
                return Ok(Answer {
                    target,
                    response,
                    connection,
                });
            };
            if next.origin() == target.url.origin() {
                target.cookies.store(&target.url, response.headers());
            } else {
                target.headers.clear();
                target.cookies.clear();
            }
            target.url = next;
        }
        Err(Failure::new(
            FailureCode::BadRedirect,
            format!(
                "{} was redirected more than {MAX_REDIRECTS} times; give the URL that the redirects lead to",
                redact_url(&target.url)
            ),
        ))
    }

    /// One request, over a connection of its own.
    async fn exchange(
        &self,
        target: &Target,
        range: &HeaderMap,
        slot: Option<Slot>,
    ) -> Result<(Response<Incoming>, Connection), Failure> {
        let url = &target.url;
        let gate = self.connector.dialer().gate();
        gate.judge_url(url)
            .map_err(|denied| failure::denied(url, &denied))?;
        let mut request = self
            .prepare(target, range)
            .ok_or_else(|| failure::unsendable(url))?;
        let flooded = watch_interim(&mut request);
        // Beside another connection of the same import.
        let is_extra = slot.is_some();
        let slot = match slot {
            Some(slot) => Some(slot),
            None => Some(
                self.slots
                    .take(url)
                    .await
                    .ok_or_else(|| failure::crowded(url))?,
            ),
        };
        // With the slot in hand: others may have been told to wait while this one waited for it.
        let custom = &target.headers;
        let leave = self.courtesy.await_turn(url, custom).await?;
        let connecting = self.connector.connect(url, slot);
        let connecting = connecting.instrument(info_span!("connect")).await;
        let mut connection = connecting.map_err(|error| failure::of_connect(url, &error))?;
        let response = tokio::select! {
            answered = timeout(self.limits.response, connection.sender.send_request(request)) => answered,
            () = flooded.notified() => return Err(failure::interim_flood(url)),
        };
        match response {
            Ok(Ok(response)) => {
                let (status, headers) = (response.status(), response.headers());
                // That it takes no more connections of ours is no trouble of the host's.
                if !is_extra || status.is_success() || headers.contains_key(header::RETRY_AFTER) {
                    let exchange = (url, custom);
                    self.courtesy.note(exchange, leave, status, headers).await;
                }
                Ok((response, connection))
            }
            Ok(Err(error)) => Err(failure::of_request(url, &error)),
            Err(_) => Err(failure::no_response(url, self.limits.response)),
        }
    }

    /// The request in the form that goes to an origin (RFC 9112 §3.2.1).
    fn prepare(&self, target: &Target, range: &HeaderMap) -> Option<Request<Empty<Bytes>>> {
        let url = &target.url;
        let path = Uri::try_from(&url[Position::BeforePath..Position::AfterQuery]).ok()?;
        let host = HeaderValue::try_from(&url[Position::BeforeHost..Position::AfterPort]).ok()?;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = path;
        let headers = request.headers_mut();
        headers.insert(header::HOST, host);
        headers.insert(header::USER_AGENT, self.user_agent.clone());
        headers.insert(header::ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(credentials) = credentials(url) {
            headers.insert(header::AUTHORIZATION, credentials);
        }
        // In place of what stands there already; none of them frames the request or routes it.
        for (name, value) in target.headers.iter().chain(range) {
            headers.insert(name, value.clone());
        }
        if let Some(value) = target.cookies.header(url, headers.get(header::COOKIE)) {
            headers.insert(header::COOKIE, value);
        }
        // A content coding would change the bytes that are kept.
        headers.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
        // One exchange for each connection; what follows the answer is looked at.
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        Some(request)
    }
}

/// What a host is known by: a dot at the end makes it no other.
fn host_key(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_end_matches('.')
}

fn custom_headers(headers: Option<&BTreeMap<String, String>>) -> Result<HeaderMap, Failure> {
    headers
        .into_iter()
        .flatten()
        .map(|(name, value)| {
            let name = HeaderName::try_from(name).ok()?;
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        })
        .collect::<Option<HeaderMap>>()
        .ok_or_else(|| {
            Failure::new(
                FailureCode::InvalidArguments,
                "the argument `headers` has a name or value that cannot be sent",
            )
        })
}

/// `Range`, and `If-Range` so that it counts for the same bytes only (RFC 9110 §13.1.5).
fn part_headers(identity: &Identity, part: Part) -> Option<HeaderMap> {
    let range = match part.end.and_then(|end| end.checked_sub(1)) {
        Some(last) => format!("bytes={}-{last}", part.start),
        None => format!("bytes={}-", part.start),
    };
    let mut headers = HeaderMap::new();
    headers.insert(header::RANGE, HeaderValue::try_from(range).ok()?);
    headers.insert(header::IF_RANGE, identity.validator.as_ref()?.to_header()?);
    Some(headers)
}

/// User and password of a URL (RFC 7617).
fn credentials(url: &Url) -> Option<HeaderValue> {
    if url.username().is_empty() && url.password().is_none() {
        return None;
    }
    let mut pair: Vec<u8> = percent_decode_str(url.username()).collect();
    pair.push(b':');
    pair.extend(percent_decode_str(url.password().unwrap_or_default()));
    let text = format!("Basic {}", BASE64_STANDARD.encode(pair));
    let mut value = HeaderValue::try_from(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// Tells when an origin has sent too many interim answers: hyper passes over any number of them.
fn watch_interim(request: &mut Request<Empty<Bytes>>) -> Arc<Notify> {
    let flooded = Arc::new(Notify::new());
    let seen = AtomicUsize::new(0);
    let notify = Arc::clone(&flooded);
    hyper::ext::on_informational(request, move |_| {
        if seen.fetch_add(1, Ordering::Relaxed) == MAX_INTERIM {
            notify.notify_one();
        }
    });
    flooded
}
