//! Origins of the tests' own: one that misbehaves on command, where the path says how, and one
//! that behaves, serves ranges and keeps to a script.

use std::{io, net::SocketAddr};

use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::server::TlsStream;
use tokio_util::task::TaskTracker;

use crate::closed_network;

mod misbehave;
mod ranges;
mod tls;
mod verbatim;

pub use ranges::{Content, RangedOrigin, Script, Seen, http_date};
pub use tls::{Authority, Tls, TlsFront};
pub use verbatim::VerbatimOrigin;

/// A running origin that misbehaves.
pub struct Origin {
    server: Server,
    scheme: &'static str,
}

impl Origin {
    /// Starts an origin.
    pub async fn start() -> Self {
        let server = Server::start(misbehave::answer::<TcpStream>).await;
        Self {
            server,
            scheme: "http",
        }
    }

    /// Starts an origin on an address of a closed network.
    pub fn start_at(address: SocketAddr) -> Self {
        let listener = closed_network::listen(address);
        Self {
            server: Server::accept_from(listener, misbehave::answer::<TcpStream>),
            scheme: "http",
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// The URL of a path. Known are:
    ///
    /// - whole answers: `status/N`, `echo`, `retry-after`, `redirect?URL`, `redirect/N?URL` with that
    ///   status, `hops/N?URL` with that many redirects to itself before, `loop`, `chain/N`
    ///   (redirects), `hints?URL`, `gzip`, `te-gzip`, `two-codings`, `bomb`, `large-head`,
    ///   `many-headers`, `length-and-chunks`, `long`;
    /// - an end too soon: `close`, `informational`, `short`, `half-closed`, `cut-chunks`,
    ///   `reset-head`, `reset`;
    /// - none: `hang`, `stall`, `trickle-head`, `trickle`, `endless-head`, `endless`, `flood/1XX`;
    /// - what is not HTTP: `not-http`, `http-0.9`, `http2`, `status-line`, `length/VALUE`,
    ///   `two-lengths`, `bad-chunks`;
    /// - half of a body, then to whoever asks for the rest: `range/wrong-start`,
    ///   `range/wrong-total`, `range/other-etag`, `range/whole`, `range/unsatisfiable`; and
    ///   `range/unasked`, a part from the start.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}/{path}", self.scheme, self.server.address)
    }

    /// How many connections are open.
    pub fn open(&self) -> usize {
        self.server.connections.len()
    }
}

/// Listens on a free port and serves each connection in a task of its own.
struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
    connections: TaskTracker,
}

impl Server {
    async fn start<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<()>> + Send + 'static,
    {
        Self::accept_from(TcpListener::bind("127.0.0.1:0").await.unwrap(), serve)
    }

    fn accept_from<F>(
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
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// A connection, bare or under TLS.
trait Connection: AsyncRead + AsyncWrite + Unpin + Send {
    /// What lies below.
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

/// The head of a request.
struct Request(String);

impl Request {
    async fn read(stream: &mut impl Connection) -> io::Result<Self> {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
            // The first byte of a TLS handshake (RFC 8446 §5.1), which no request line begins with.
            if head[0] == 22 {
                stream.write_all(b"HTTP/1.1 400 Speak HTTP\r\n\r\n").await?;
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(Self(String::from_utf8_lossy(&head).into_owned()))
    }

    /// The path, without the slash before it, and the query.
    fn target(&self) -> (&str, &str) {
        let target = self.0.split(' ').nth(1).unwrap_or_default();
        let target = target.trim_start_matches('/');
        target.split_once('?').unwrap_or((target, ""))
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.0.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

/// Waits until the client is gone.
async fn until_closed(mut stream: impl Connection) -> io::Result<()> {
    tokio::io::copy(&mut stream, &mut tokio::io::sink()).await?;
    Ok(())
}
