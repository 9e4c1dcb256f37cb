//! An origin that fails in the way that the path of a request names.

use std::{io, net::SocketAddr};

use tokio::net::TcpStream;

use super::{
    fault_kinds,
    request::Request,
    server::{Connection, Server},
};
use crate::closed_network;

/// A running faulty origin.
pub struct FaultyOrigin {
    server: Server,
    scheme: &'static str,
}

impl FaultyOrigin {
    /// Starts an origin on a free port of loopback.
    pub async fn start() -> Self {
        Self::over_http(Server::start(answer::<TcpStream>).await)
    }

    /// Starts an origin on an address of a closed network.
    pub fn start_at(address: SocketAddr) -> Self {
        let listener = closed_network::listen(address);
        Self::over_http(Server::accept_from(listener, answer::<TcpStream>))
    }

    fn over_http(server: Server) -> Self {
        Self {
            server,
            scheme: "http",
        }
    }

    /// Wraps a server that speaks TLS.
    pub(super) fn over_https(server: Server) -> Self {
        Self {
            server,
            scheme: "https",
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.server.address
    }

    /// Returns the URL of a path. The known paths are:
    ///
    /// - complete responses: `status/N`, `echo`, `retry-after`, `redirect?URL`, `redirect/N?URL` with that
    ///   status, `hops/N?URL` with that many redirects to itself first, `loop`, `chain/N` (redirects),
    ///   `hints?URL`, `gzip`, `te-gzip`, `two-codings`, `bomb`, `large-head`, `many-headers`,
    ///   `length-and-chunks`, `long`; `refresh/other-tag`, `refresh/same-bytes` and `refresh/failing`, which
    ///   answer a conditional request with 304 and another tag, with the same bytes, or with an error;
    /// - responses that end too early: `close`, `informational`, `short`, `half-closed`, `cut-chunks`,
    ///   `reset-head`, `reset`;
    /// - responses that never end: `hang`, `stall`, `trickle-head`, `trickle`, `endless-head`, `endless`,
    ///   `flood/1XX`;
    /// - invalid HTTP: `not-http`, `http-0.9`, `http2`, `status-line`, `length/VALUE`, `two-lengths`,
    ///   `bad-chunks`;
    /// - half of a body, followed by a wrong response to a request for the rest: `range/wrong-start`,
    ///   `range/wrong-total`, `range/other-etag`, `range/whole`, `range/unsatisfiable`; and `range/unasked`,
    ///   a partial response to a request without a range.
    pub fn url(&self, path: &str) -> String {
        format!("{}://{}/{path}", self.scheme, self.server.address)
    }

    /// Returns the number of open connections.
    pub fn open(&self) -> usize {
        self.server.open_connections()
    }
}

/// Answers one request with the fault that its path names.
pub(super) async fn answer<C: Connection>(mut stream: C) -> io::Result<()> {
    let request = Request::read(&mut stream).await?;
    fault_kinds::plan_for(&request).execute(stream).await
}
