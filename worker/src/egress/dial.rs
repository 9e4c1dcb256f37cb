//! The only place where this program connects on a user's behalf.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use tokio::{net::TcpStream, time::timeout};
use url::{Host, Url};

use super::{EgressDenied, EgressGate, NameResolver};

/// How long one of several addresses is tried before the next one.
const ADDRESS_LIMIT: Duration = Duration::from_secs(3);

/// Connects to the hosts of URLs, through the gate: a name is resolved once, and only those of its
/// addresses are dialled that may be.
#[derive(Clone)]
pub struct Dialer {
    gate: EgressGate,
    resolver: Arc<dyn NameResolver>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The gate said no.
    #[error(transparent)]
    Denied(#[from] EgressDenied),
    /// The name has no address.
    #[error("the name did not resolve")]
    Unresolved(#[source] io::Error),
    /// No address took the connection.
    #[error("no address took the connection")]
    Refused(#[source] io::Error),
}

impl Dialer {
    /// A dialler behind a gate.
    pub fn new(gate: EgressGate, resolver: Arc<dyn NameResolver>) -> Self {
        Self { gate, resolver }
    }

    /// The gate.
    pub fn gate(&self) -> &EgressGate {
        &self.gate
    }

    /// Connects to the host and port of a URL. The caller limits the time.
    pub async fn dial(&self, url: &Url) -> Result<TcpStream, DialError> {
        self.gate.judge_url(url)?;
        let addresses = self.addresses(url).await?;
        let limit = |last: bool| if last { Duration::MAX } else { ADDRESS_LIMIT };
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        for (index, address) in addresses.iter().enumerate() {
            // Here, where nothing can come between the verdict and the connection.
            self.gate.judge(*address)?;
            #[allow(clippy::disallowed_methods, reason = "the one place for it")]
            let connecting = TcpStream::connect(address);
            match timeout(limit(index + 1 == addresses.len()), connecting).await {
                Ok(Ok(stream)) => {
                    stream.set_nodelay(true).map_err(DialError::Refused)?;
                    return Ok(stream);
                }
                Ok(Err(error)) => refused = error,
                Err(_) => refused = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(DialError::Refused(refused))
    }

    /// The addresses that may be dialled. If none may, that is the error.
    async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, DialError> {
        let port = url.port_or_known_default().ok_or(EgressDenied::NoHost)?;
        let name = match url.host().ok_or(EgressDenied::NoHost)? {
            Host::Ipv4(ip) => return Ok(vec![(ip, port).into()]),
            Host::Ipv6(ip) => return Ok(vec![(ip, port).into()]),
            Host::Domain(name) => name,
        };
        let found = self.resolver.resolve(name).await;
        let mut denied = None;
        let mut allowed = Vec::new();
        for ip in found.map_err(DialError::Unresolved)? {
            let address = SocketAddr::new(ip, port);
            match self.gate.judge(address) {
                Ok(()) => allowed.push(address),
                Err(verdict) => denied = Some(verdict),
            }
        }
        match (allowed.is_empty(), denied) {
            (false, _) => Ok(allowed),
            (true, Some(verdict)) => Err(verdict.into()),
            (true, None) => Err(DialError::Unresolved(io::ErrorKind::NotFound.into())),
        }
    }
}
