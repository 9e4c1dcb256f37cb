//! One request and its answer, over a connection of their own and within the limits of the host.

use hyper::{
    Response,
    body::Incoming,
    header::{self, HeaderMap},
};
use tokio::time::timeout;
use tracing::{Instrument as _, info_span};

use super::{
    connect::Connection,
    error::ExchangeError,
    fetcher::Fetcher,
    host_limits::{ConnectionPermit, retry_delay},
    request,
    target::Target,
};

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
        connection.interim.watch(&mut request);
        let answered = connection.sender.send_request(request);
        let response = timeout(self.limits.response, answered).await;
        if connection.interim.is_exceeded() {
            return Err(ExchangeError::InterimFlood);
        }
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
