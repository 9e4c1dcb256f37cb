//! One request and its answer, over a connection of their own and within the limits of the host.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    Request, Response,
    body::Incoming,
    header::{self, HeaderMap},
};
use tokio::{sync::Notify, time::timeout};
use tracing::{Instrument as _, info_span};

use super::{
    connect::Connection,
    error::ExchangeError,
    fetcher::Fetcher,
    host_limits::{ConnectionPermit, retry_delay},
    request,
    target::Target,
};

/// Maximum number of interim responses (1xx) before an answer.
const MAX_INTERIM_RESPONSES: usize = 16;

impl Fetcher {
    /// Sends a request over a new connection. `permit` is for an additional connection of an import; without it,
    /// a permit is acquired first.
    pub(super) async fn exchange(
        &self,
        target: &Target,
        range: &HeaderMap,
        permit: Option<ConnectionPermit>,
    ) -> Result<(Response<Incoming>, Connection), ExchangeError> {
        let url = &target.url;
        self.gate().check_url(url).map_err(ExchangeError::Denied)?;
        let mut request =
            request::build(target, range, &self.user_agent).ok_or(ExchangeError::Unsendable)?;
        let flooded = watch_interim_responses(&mut request);
        let is_additional = permit.is_some();
        let permit = match permit {
            Some(permit) => Some(permit),
            None => self.connections.acquire(url).await,
        };
        let permit = permit.ok_or_else(|| ExchangeError::ConnectionLimit(retry_delay()))?;
        // Checked after the permit was acquired: the back-off may have begun meanwhile.
        let admission = self.backoff.admit(url, &target.headers).await?;
        let connecting = self.connector.connect(url, permit);
        let mut connection = connecting.instrument(info_span!("connect")).await?;
        let response = tokio::select! {
            answered = timeout(self.limits.response, connection.sender.send_request(request)) => answered,
            () = flooded.notified() => return Err(ExchangeError::InterimFlood),
        };
        let response = response
            .map_err(|_| ExchangeError::ResponseTimeout(self.limits.response))?
            .map_err(|error| ExchangeError::from_request(&error))?;
        let (status, headers) = (response.status(), response.headers());
        // A host that refuses an additional connection does not thereby ask for a pause.
        if !is_additional || status.is_success() || headers.contains_key(header::RETRY_AFTER) {
            let request = (url, &target.headers);
            self.backoff
                .record_answer(request, admission, status, headers)
                .await;
        }
        Ok((response, connection))
    }
}

/// Notifies when an origin has sent too many interim responses: hyper ignores any number of them.
fn watch_interim_responses(request: &mut Request<Empty<Bytes>>) -> Arc<Notify> {
    let flooded = Arc::new(Notify::new());
    let seen = AtomicUsize::new(0);
    let notify = Arc::clone(&flooded);
    hyper::ext::on_informational(request, move |_| {
        if seen.fetch_add(1, Ordering::Relaxed) == MAX_INTERIM_RESPONSES {
            notify.notify_one();
        }
    });
    flooded
}
