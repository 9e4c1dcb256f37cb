//! A TCP server that handles each connection in a task.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;

/// A running server, which stops accepting connections when it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    accepting: JoinHandle<()>,
    connections: TaskTracker,
}

impl Server {
    /// Starts a server on a free port of loopback.
    pub(super) async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self::accept_from(TcpListener::bind("127.0.0.1:0").await.unwrap(), serve)
    }

    /// Starts a server on a listener.
    pub(super) fn accept_from<F>(
        listener: TcpListener,
        serve: impl Fn(TcpStream) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        let address = listener.local_addr().unwrap();
        let connections = TaskTracker::new();
        let tasks = connections.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tasks.spawn(serve(stream));
            }
        });
        Self {
            address,
            accepting,
            connections,
        }
    }

    /// Returns the number of open connections.
    pub(super) fn open_connections(&self) -> usize {
        self.connections.len()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A connection, plain or over TLS.
pub(super) trait Connection: AsyncRead + AsyncWrite + Unpin + Send {
    /// Returns the TCP connection below.
    fn tcp(&self) -> &TcpStream;
}

impl Connection for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }
}

impl Connection for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }
}

/// Waits until the client closes the connection.
pub(super) async fn until_closed(mut stream: impl Connection) -> io::Result<()> {
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}
