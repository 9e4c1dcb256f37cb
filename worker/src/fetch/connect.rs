//! A connection to an origin, TLS included, that speaks HTTP/1.1: one that is limited for each
//! connection is not helped by HTTP/2, which would put all ranges on one.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite},
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

use super::{failure, origin_slots::Slot};
use crate::{
    egress::{DialError, Dialer},
    tls,
};

/// The most bytes of an answer's head, and the most headers: more than fit into the bytes, unless they
/// are hardly longer than the frame around them.
const MAX_HEADER_BYTES: usize = 64 * 1024;
const MAX_HEADERS: usize = MAX_HEADER_BYTES / 16;
/// What one read may bring, and so what a connection may hold.
const READ_BYTES: usize = 256 * 1024;
/// How long the end of a connection is waited for after its answer.
pub(super) const ENDING_LIMIT: Duration = Duration::from_millis(20);

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    dialer: Dialer,
    tls: TlsConnector,
    limit: Duration,
}

/// An open connection, good for one exchange. Dropping it closes it.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Empty<Bytes>>,
    driver: AbortOnDropHandle<Ending>,
    _slot: Option<Slot>,
}

/// What came after an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    /// Nothing, as far as one can tell.
    Clean,
    /// More bytes, which belong to nothing.
    Excess,
}

impl Connection {
    /// What follows the answer, once it was read to its end. The origin was asked to close the
    /// connection then; one that does not is not waited for.
    pub(super) async fn ending(&mut self) -> Ending {
        let ended = timeout(ENDING_LIMIT, &mut self.driver).await;
        ended.map_or(Ending::Clean, |ending| ending.unwrap_or(Ending::Clean))
    }
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectError {
    /// No address took it, or none may be dialled.
    #[error("no connection")]
    Dial(#[from] DialError),
    /// The TLS handshake failed.
    #[error("no secure connection")]
    Tls(#[source] io::Error),
    /// It took too long.
    #[error("no connection in time")]
    TimedOut,
    /// The HTTP client could not begin.
    #[error("the connection could not be used")]
    Http(#[from] hyper::Error),
}

impl Connector {
    pub(super) fn new(dialer: Dialer, limit: Duration) -> Result<Self, tls::TrustError> {
        let mut tls = tls::client_config()?;
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self {
            dialer,
            tls: Arc::new(tls).into(),
            limit,
        })
    }

    pub(super) fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    /// Connects to the origin of a URL, in a slot of its host's.
    pub(super) async fn connect(
        &self,
        url: &Url,
        slot: Option<Slot>,
    ) -> Result<Connection, ConnectError> {
        match timeout(self.limit, self.connect_unlimited(url, slot)).await {
            Ok(connected) => connected,
            Err(_) => Err(ConnectError::TimedOut),
        }
    }

    async fn connect_unlimited(
        &self,
        url: &Url,
        slot: Option<Slot>,
    ) -> Result<Connection, ConnectError> {
        let stream = self.dialer.dial(url).await?;
        if url.scheme() != "https" {
            return speak(TokioIo::new(stream), slot).await;
        }
        let name = server_name(url).map_err(ConnectError::Tls)?;
        let secured = self.tls.connect(name, stream).await;
        speak(TokioIo::new(secured.map_err(ConnectError::Tls)?), slot).await
    }
}

/// Reads on behind an answer.
async fn ending_of(stream: TokioIo<impl AsyncRead + Unpin>) -> Ending {
    match stream.into_inner().read(&mut [0; 1]).await {
        Ok(1..) => Ending::Excess,
        // Closed, however well.
        Ok(0) | Err(_) => Ending::Clean,
    }
}

async fn speak(
    stream: TokioIo<impl AsyncRead + AsyncWrite + Unpin + Send + 'static>,
    slot: Option<Slot>,
) -> Result<Connection, ConnectError> {
    let (sender, connection) = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        // RFC 9112 §5.2: a user agent puts blanks in place of a fold. RFC 9112 §5.1: it removes blanks
        // before the colon.
        .allow_obsolete_multiline_headers_in_responses(true)
        .allow_spaces_after_header_name_in_responses(true)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(READ_BYTES)
        .handshake(stream)
        .await?;
    let driver = tokio::spawn(async move {
        match connection.without_shutdown().await {
            Ok(parts) if parts.read_buf.is_empty() => ending_of(parts.io).await,
            Ok(_) => Ending::Excess,
            Err(error) if failure::is_nameless(&error) => Ending::Excess,
            // Whoever waits for the answer hears of it.
            Err(_) => Ending::Clean,
        }
    });
    Ok(Connection {
        sender,
        driver: AbortOnDropHandle::new(driver),
        _slot: slot,
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
