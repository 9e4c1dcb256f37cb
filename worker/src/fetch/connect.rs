//! Connections to origins, with TLS, over HTTP/1.1: HTTP/2 would put all ranges on one connection, which does
//! not help where an origin limits the rate per connection.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use media_tls::TrustError;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

use super::{
    error::{ExchangeError, is_unexpected_data},
    host_limits::ConnectionPermit,
    interim_limit::{InterimCounter, InterimLimited},
};
use crate::egress::Dialer;

/// Maximum size of an answer's head.
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// Maximum number of headers: more would fit into the head only if they were hardly longer than their syntax.
const MAX_HEADERS: usize = MAX_HEADER_BYTES / 16;
/// Maximum size of one read, and so of a connection's buffer.
const READ_BUFFER_BYTES: usize = 256 * 1024;
/// Timeout for the end of a connection after its answer.
pub(super) const END_TIMEOUT: Duration = Duration::from_millis(20);

/// Opens connections.
#[derive(Clone)]
pub(super) struct Connector {
    dialer: Dialer,
    tls: TlsConnector,
    timeout: Duration,
}

/// An open connection for one exchange. Dropping it closes it.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Empty<Bytes>>,
    pub(super) interim: InterimCounter,
    /// Returns whether bytes came after the answer.
    driver: AbortOnDropHandle<bool>,
    _permit: ConnectionPermit,
}

impl Connection {
    /// Whether bytes came after the answer, once that was read to its end. The origin was asked to close the
    /// connection; one that does not is given [`END_TIMEOUT`].
    pub(super) async fn has_excess_bytes(&mut self) -> bool {
        let ended = timeout(END_TIMEOUT, &mut self.driver).await;
        ended.is_ok_and(|has_excess| has_excess.unwrap_or(false))
    }
}

impl Connector {
    pub(super) fn new(dialer: Dialer, timeout: Duration) -> Result<Self, TrustError> {
        let mut tls = media_tls::client_config()?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            dialer,
            tls: Arc::new(tls).into(),
            timeout,
        })
    }

    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Connects to the origin of a URL.
    pub(super) async fn connect(
        &self,
        url: &Url,
        permit: ConnectionPermit,
    ) -> Result<Connection, ExchangeError> {
        let connecting = self.connect_without_timeout(url, permit);
        let connected = timeout(self.timeout, connecting).await;
        connected.unwrap_or(Err(ExchangeError::ConnectTimeout))
    }

    async fn connect_without_timeout(
        &self,
        url: &Url,
        permit: ConnectionPermit,
    ) -> Result<Connection, ExchangeError> {
        let stream = self.dialer.dial(url).await?;
        if url.scheme() != "https" {
            return handshake(stream, permit).await;
        }
        let secured = async { self.tls.connect(server_name(url)?, stream).await };
        let secured = secured
            .await
            .map_err(|error| ExchangeError::from_tls(&error))?;
        handshake(secured, permit).await
    }
}

/// Reads on after an answer, and returns whether there is more. A close may be orderly or not.
async fn reads_excess(stream: TokioIo<impl AsyncRead + Unpin>) -> bool {
    matches!(stream.into_inner().read(&mut [0; 1]).await, Ok(1..))
}

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    permit: ConnectionPermit,
) -> Result<Connection, ExchangeError> {
    let interim = InterimCounter::default();
    let stream = InterimLimited::new(stream, interim.clone());
    let (sender, connection) = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        // RFC 9112 §5.2: a user agent replaces line folding with spaces. RFC 9112 §5.1: a proxy removes
        // whitespace before the colon.
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(READ_BUFFER_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|_| ExchangeError::NotConnected("the connection cannot be used"))?;
    let driver = tokio::spawn(async move {
        match connection.without_shutdown().await {
            Ok(parts) => !parts.read_buf.is_empty() || reads_excess(parts.io).await,
            // Other errors are returned with the answer.
            Err(error) => is_unexpected_data(&error),
        }
    });
    Ok(Connection {
        sender,
        interim,
        driver: AbortOnDropHandle::new(driver),
        _permit: permit,
    })
}

fn server_name(url: &Url) -> io::Result<ServerName<'static>> {
    match url.host() {
        Some(Host::Domain(name)) => ServerName::try_from(name.to_owned())
            .map_err(|error| io::Error::other(error.to_string())),
        Some(Host::Ipv4(ip)) => Ok(ServerName::IpAddress(std::net::IpAddr::V4(ip).into())),
        Some(Host::Ipv6(ip)) => Ok(ServerName::IpAddress(std::net::IpAddr::V6(ip).into())),
        None => Err(io::ErrorKind::InvalidInput.into()),
    }
}
