//! The answer to a request after redirects: its head, and its body as it comes.

use hyper::{Response, StatusCode, body::Incoming, header::HeaderMap};
use tracing::{Instrument as _, info_span};
use url::Url;

use super::{
    body::Body,
    connect::Connection,
    content_identity::{ByteRange, ContentIdentity},
    error::{ExchangeError, FetchFailure},
    fetcher::Fetcher,
    host_limits::ConnectionPermit,
    raw_body::RawBody,
    redirect,
    response_head::{BodyPlan, Head},
    target::Target,
    validator::OriginValidators,
};

/// Maximum number of redirects that are followed.
const MAX_REDIRECTS: usize = 10;

/// An answer that is being read.
pub(crate) struct Answer {
    pub(super) head: Head,
    /// The target after redirects.
    pub(super) final_target: Target,
    pub(super) body: Body,
}

/// Why a range could not be fetched.
pub(crate) enum FetchError {
    Failed(FetchFailure),
    /// The origin has other content by now or does not serve ranges, so that the bytes before the range are
    /// useless. Contains the new content from its first byte, if the origin has sent it.
    Changed(Option<Box<Answer>>),
}

impl From<FetchFailure> for FetchError {
    fn from(failure: FetchFailure) -> Self {
        Self::Failed(failure)
    }
}

impl Fetcher {
    /// Requests the whole content of a URL.
    pub(crate) async fn open(&self, target: &Target) -> Result<Answer, FetchFailure> {
        self.follow(target, &HeaderMap::new(), None)
            .await?
            .whole(self)
    }

    /// Requests the whole content of a URL if it has changed since the validators were sent. Returns nothing if it has
    /// not, unless redirects have led to a URL that the validators do not concern. Validators of the answer that differ from these are no reason to fetch it: proxies that compress answers
    /// send other tags, and the origin has compared the right one.
    pub(crate) async fn open_if_changed(
        &self,
        target: &Target,
        validators: &OriginValidators,
        concerns: impl Fn(&Url) -> bool,
    ) -> Result<Option<Answer>, FetchFailure> {
        let conditions = validators.conditions();
        let exchanged = self.follow(target, &conditions, None).await?;
        if exchanged.response.status() == StatusCode::NOT_MODIFIED && !conditions.is_empty() {
            if concerns(&exchanged.target.url) {
                return Ok(None);
            }
            drop(exchanged);
            return self.open(target).await.map(Some);
        }
        exchanged.whole(self).map(Some)
    }

    /// Requests a range of the content, over an additional connection if there is a permit for it.
    pub(super) async fn open_range(
        &self,
        target: &Target,
        identity: &ContentIdentity,
        range: ByteRange,
        permit: Option<ConnectionPermit>,
    ) -> Result<Answer, FetchError> {
        let headers = range.headers(identity).ok_or(FetchError::Changed(None))?;
        let exchanged = self.follow(target, &headers, permit).await?;
        if exchanged.response.status() == StatusCode::OK {
            let whole = exchanged.whole(self)?;
            return Err(FetchError::Changed(Some(Box::new(whole))));
        }
        let url = &exchanged.target.url;
        match Head::of_range(url, &exchanged.response, range, identity) {
            Ok(Some((head, plan))) => Ok(exchanged.answer(self, head, plan)),
            Ok(None) => Err(FetchError::Changed(None)),
            Err(error) => Err(FetchFailure::new(url, error).into()),
        }
    }

    /// Sends a request and follows redirects.
    async fn follow(
        &self,
        target: &Target,
        conditions: &HeaderMap,
        mut permit: Option<ConnectionPermit>,
    ) -> Result<Exchanged, FetchFailure> {
        let mut target = target.clone();
        let may_downgrade = self.gate().allows_downgrade();
        for _ in 0..=MAX_REDIRECTS {
            let span = info_span!("exchange", server.address = target.url.host_str());
            let exchange = self
                .exchange(&target, conditions, permit.take())
                .instrument(span);
            let failed = |error| FetchFailure::new(&target.url, error);
            let (response, connection) = exchange.await.map_err(failed)?;
            let next = redirect::target(&target.url, &response, may_downgrade).map_err(failed)?;
            let Some(next) = next else {
                return Ok(Exchanged {
                    target,
                    response,
                    connection,
                });
            };
            target.redirect(next, response.headers());
        }
        let error = ExchangeError::TooManyRedirects(MAX_REDIRECTS);
        Err(FetchFailure::new(&target.url, error))
    }
}

/// The last exchange after redirects.
struct Exchanged {
    target: Target,
    response: Response<Incoming>,
    connection: Connection,
}

impl Exchanged {
    fn whole(self, fetcher: &Fetcher) -> Result<Answer, FetchFailure> {
        match Head::of_whole(&self.target.url, &self.response) {
            Ok((head, plan)) => Ok(self.answer(fetcher, head, plan)),
            Err(error) => Err(FetchFailure::new(&self.target.url, error)),
        }
    }

    fn answer(self, fetcher: &Fetcher, head: Head, plan: BodyPlan) -> Answer {
        let body = RawBody::new(
            self.response.into_body(),
            self.connection,
            fetcher.limits.stall,
            plan.length,
        );
        Answer {
            head,
            body: Body::new(&self.target.url, body, plan.codings),
            final_target: self.target,
        }
    }
}
