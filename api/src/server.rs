//! Serves connections: HTTP/1.1, each within limits of size and time, and no more of them than
//! configured.
//!
//! The framework's own server has no limit of connections, none of the time that a request's head may
//! take or that a client may leave an answer unread, and copies every body once more on its way out.

use std::{io, net::SocketAddr, pin::Pin, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::{
    body::{Body as HttpBody, Frame, Incoming, SizeHint},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use poem::{
    Endpoint, Request,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    time::{sleep, timeout},
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod seats;

use seats::{Busy, Seat, Seats};

/// How long a connection may wait for the head of a request, between two requests too. Longer than
/// what proxies keep theirs for (60 s at AWS and nginx), so that they never meet one that just closed.
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a client may read nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// What is read of a connection ahead of its use, and so the largest head of a request.
const MAX_READ_AHEAD: usize = 256 * 1024;
/// The most headers of a request.
const MAX_HEADERS: usize = 100;
/// How long nothing is accepted after the system had no room for a connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// How long a connection may take to notice that it is over.
pub(crate) const CLOSE_LIMIT: Duration = Duration::from_secs(1);

/// How many connections the system may keep until they are accepted; it has a limit of its own.
const BACKLOG: u32 = 4096;

/// Listens at an address.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // Connections of an earlier run that are not over yet keep nobody from the address.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `shutdown`, then lets requests under way end within `grace`.
pub(crate) async fn serve<E>(
    listener: TcpListener,
    endpoint: E,
    max_connections: usize,
    shutdown: CancellationToken,
    grace: Duration,
) -> io::Result<()>
where
    E: Endpoint + 'static,
{
    let server = Server {
        endpoint: Arc::new(endpoint),
        local: LocalAddr(listener.local_addr()?.into()),
        shutdown: shutdown.clone(),
        abort: CancellationToken::new(),
    };
    let seats = Seats::new(max_connections);
    let connections = TaskTracker::new();
    loop {
        let seat = tokio::select! {
            seat = seats.take() => seat,
            () = shutdown.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shutdown.cancelled() => break,
        };
        match accepted {
            Ok((stream, remote)) => {
                let server = server.clone();
                let remote = RemoteAddr(remote.into());
                connections.spawn(async move { server.connection(stream, remote, seat).await });
            }
            // Of the connection alone: it went before it was accepted.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted");
                seats.make_room();
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    drop(listener);
    connections.close();
    if timeout(grace, connections.wait()).await.is_err() {
        server.abort.cancel();
        // Each ends at its next wait.
        let _ = timeout(CLOSE_LIMIT, connections.wait()).await;
    }
    Ok(())
}

struct Server<E> {
    endpoint: Arc<E>,
    local: LocalAddr,
    /// No more requests.
    shutdown: CancellationToken,
    /// No more patience.
    abort: CancellationToken,
}

impl<E> Clone for Server<E> {
    fn clone(&self) -> Self {
        Self {
            endpoint: Arc::clone(&self.endpoint),
            local: self.local.clone(),
            shutdown: self.shutdown.clone(),
            abort: self.abort.clone(),
        }
    }
}

impl<E: Endpoint + 'static> Server<E> {
    async fn connection(self, stream: TcpStream, remote: RemoteAddr, seat: Seat) {
        // What is written is written whole: nothing is gained by waiting for more.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let mut stream = TimeoutStream::new(stream);
        stream.set_write_timeout(Some(WRITE_TIMEOUT));
        let seat = Arc::new(seat);
        let service = service_fn(|request| self.answer(request, &remote, &seat));
        let serving = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_READ_AHEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(Box::pin(stream)), service);
        tokio::pin!(serving);
        let ended = tokio::select! {
            ended = &mut serving => ended,
            () = seat.unseated() => return,
            () = self.abort.cancelled() => return,
            () = self.shutdown.cancelled() => {
                serving.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = &mut serving => ended,
                    () = seat.unseated() => return,
                    () = self.abort.cancelled() => return,
                }
            }
        };
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
    }

    async fn answer(
        &self,
        request: hyper::Request<Incoming>,
        remote: &RemoteAddr,
        seat: &Arc<Seat>,
    ) -> io::Result<hyper::Response<Held>> {
        let busy = seat.begin();
        let (local, remote) = (self.local.clone(), remote.clone());
        let request = Request::from((request, local, remote, Scheme::HTTP));
        let response = self.endpoint.get_response(request).await;
        let response = hyper::Response::<BoxBody<Bytes, io::Error>>::from(response);
        Ok(response.map(|body| Held { body, _busy: busy }))
    }
}

/// A body whose connection is busy for as long as it is there.
struct Held {
    body: BoxBody<Bytes, io::Error>,
    _busy: Busy,
}

impl HttpBody for Held {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
