//! A connection to an origin, TLS included, that speaks HTTP/1.1: one that is limited for each
//! connection is not helped by HTTP/2, which would put all ranges on one.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Empty;
use hyper::{
    client::conn::http1::{self, SendRequest},
    rt::{Read, Write},
};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;
use url::{Host, Url};

use super::origin_slots::Slot;
use crate::{
    egress::{DialError, Dialer},
    tls,
};

/// The most headers of an answer, and the most bytes of them.
const MAX_HEADERS: usize = 100;
const MAX_HEADER_BYTES: usize = 64 * 1024;
/// What one read may bring, and so what a connection may hold.
const READ_BYTES: usize = 256 * 1024;

/// Makes connections.
#[derive(Clone)]
pub(super) struct Connector {
    dialer: Dialer,
    tls: TlsConnector,
    limit: Duration,
}

/// An open connection. Dropping it closes it.
pub(super) struct Connection {
    pub(super) sender: SendRequest<Empty<Bytes>>,
    _driver: AbortOnDropHandle<()>,
    _slot: Option<Slot>,
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
    pub(super) fn new(dialer: Dialer, limit: Duration) -> Result<Self, rustls::Error> {
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

async fn speak(
    stream: impl Read + Write + Unpin + Send + 'static,
    slot: Option<Slot>,
) -> Result<Connection, ConnectError> {
    let (sender, connection) = http1::Builder::new()
        .max_headers(MAX_HEADERS)
        .max_header_size(MAX_HEADER_BYTES)
        .max_buf_size(READ_BYTES)
        .handshake(stream)
        .await?;
    let driver = tokio::spawn(async move {
        // Whoever waits for the answer hears of it.
        let _ = connection.await;
    });
    Ok(Connection {
        sender,
        _driver: AbortOnDropHandle::new(driver),
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
