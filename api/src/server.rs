//! Serves HTTP/1.1 connections within limits of number, size and time.
//!
//! The framework's own server limits neither connections, nor the time to send a head or to read an answer, and copies
//! every body once more. hyper limits the first of these times; the limits of tower and the kernel's queue make clients
//! wait in order. None of them can choose which connection to evict.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt as _, combinators::BoxBody};
use hyper::{
    body::{Body as _, Incoming},
    header::{CONNECTION, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use poem::{
    Body, Endpoint, Request, RequestParts,
    http::uri::Scheme,
    web::{LocalAddr, RemoteAddr},
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Semaphore,
    time::{interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod body;
mod client_stream;
mod connections;

pub(crate) use body::BodyPace;
use body::{RequestBody, ResponseBody};
use client_stream::ClientStream;
pub(crate) use connections::ConnectionLimits;
use connections::{ConnectionSlot, Connections, Phase};

/// The read buffer of a connection, in bytes, and so the largest head of a request.
const MAX_READ_AHEAD: usize = 128 * 1024;
/// The most headers of a request.
const MAX_HEADERS: usize = 100;
/// The pause in accepting after the system was out of resources.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// The pause in accepting while evicted connections have not ended.
const CLOSE_PAUSE: Duration = Duration::from_millis(1);
/// The interval at which overdue connections are closed.
const SWEEP_INTERVAL: Duration = Duration::from_secs(1);
/// The longest time for a connection to close.
pub(crate) const CLOSE_LIMIT: Duration = Duration::from_secs(1);
/// The most connections that get a 503 at a time; others are closed without an answer.
const MAX_TURNED_AWAY: usize = 64;
/// The answer to a connection that is turned away.
const UNAVAILABLE_RESPONSE: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
    Content-Type: application/vnd.api+json\r\nContent-Length: 151\r\n\r\n\
    {\"errors\":[{\"status\":\"503\",\"code\":\"unavailable\",\"title\":\"Service unavailable\",\
    \"detail\":\"all connections are serving requests; try again in a moment\"}]}";

/// The length of the kernel's queue of connections, which has a limit of its own.
const BACKLOG: u32 = 4096;

/// The limits of connections and of the bodies on them.
#[derive(Clone, Debug)]
pub(crate) struct ServerLimits {
    /// The number of connections.
    pub(crate) connections: ConnectionLimits,
    /// The pace of bodies.
    pub(crate) pace: BodyPace,
}

/// Marks an answer whose connection may be evicted: its client resumes it automatically.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Resumable;

/// Listens at an address.
pub(crate) fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() {
        TcpSocket::new_v4()
    } else {
        TcpSocket::new_v6()
    }?;
    // Connections of an earlier run must not block the address.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves until `shutdown`, then lets requests in progress end within `grace`.
pub(crate) async fn serve<E>(
    listener: TcpListener,
    endpoint: E,
    limits: ServerLimits,
    shutdown: CancellationToken,
    grace: Duration,
) -> io::Result<()>
where
    E: Endpoint + 'static,
{
    let server = Server {
        endpoint: Arc::new(endpoint),
        local: LocalAddr(listener.local_addr()?.into()),
        pace: limits.pace,
        shutdown: shutdown.clone(),
        abort: CancellationToken::new(),
    };
    let acceptor = Acceptor {
        max_tasks: limits.connections.total + MAX_TURNED_AWAY,
        connections: Connections::new(limits.connections),
        turned_away: Arc::new(Semaphore::new(MAX_TURNED_AWAY)),
        tasks: TaskTracker::new(),
        server,
    };
    tokio::select! {
        never = acceptor.accept(&listener) => match never {},
        never = acceptor.close_overdue() => match never {},
        () = shutdown.cancelled() => {}
    }
    drop(listener);
    acceptor.drain(grace).await;
    Ok(())
}

/// Accepts connections, and spawns a task for each.
struct Acceptor<E> {
    server: Server<E>,
    connections: Arc<Connections>,
    /// The permits of connections that are turned away with an answer.
    turned_away: Arc<Semaphore>,
    tasks: TaskTracker,
    max_tasks: usize,
}

impl<E: Endpoint + 'static> Acceptor<E> {
    async fn accept(&self, listener: &TcpListener) -> Infallible {
        loop {
            // A flood of connections must not exhaust file descriptors before evicted ones have ended.
            while self.tasks.len() > self.max_tasks {
                sleep(CLOSE_PAUSE).await;
            }
            match listener.accept().await {
                Ok((stream, peer)) => self.spawn(stream, peer),
                Err(error) => self.recover(&error).await,
            }
        }
    }

    /// Serves a connection, or turns it away.
    fn spawn(&self, stream: TcpStream, peer: SocketAddr) {
        if let Some(slot) = self.connections.admit(peer.ip()) {
            let server = self.server.clone();
            self.tasks
                .spawn(async move { server.connection(stream, peer, slot).await });
        } else if let Ok(permit) = Arc::clone(&self.turned_away).try_acquire_owned() {
            self.tasks.spawn(async move {
                turn_away(stream).await;
                drop(permit);
            });
        }
    }

    /// Makes room after a failure to accept, unless the client has closed its connection before.
    async fn recover(&self, error: &io::Error) {
        if error.kind() != io::ErrorKind::ConnectionAborted {
            tracing::warn!(%error, "no connection can be accepted");
            self.connections.make_room();
            sleep(ACCEPT_PAUSE).await;
        }
    }

    /// Waits until all connections have ended, and aborts those that have not after `grace`.
    async fn drain(&self, grace: Duration) {
        self.tasks.close();
        let ended = timeout(grace, async {
            tokio::select! {
                () = self.tasks.wait() => {}
                never = self.close_overdue() => match never {},
            }
        });
        if ended.await.is_err() {
            self.server.abort.cancel();
            // Each task ends at its next wait.
            let _ = timeout(CLOSE_LIMIT, self.tasks.wait()).await;
        }
    }

    async fn close_overdue(&self) -> Infallible {
        let mut sweep = interval(SWEEP_INTERVAL);
        loop {
            sweep.tick().await;
            self.connections.close_overdue();
        }
    }
}

/// Answers a client that is turned away. It may still be sending its request, so the connection stays open for a
/// moment for it to read the answer.
async fn turn_away(mut stream: TcpStream) {
    let answer = async {
        stream.write_all(UNAVAILABLE_RESPONSE).await?;
        stream.shutdown().await?;
        let mut rest = [0; 1024];
        while stream.read(&mut rest).await? > 0 {}
        io::Result::Ok(())
    };
    let _ = timeout(CLOSE_LIMIT, answer).await;
}

struct Server<E> {
    endpoint: Arc<E>,
    local: LocalAddr,
    pace: BodyPace,
    /// No more requests are accepted.
    shutdown: CancellationToken,
    /// Requests in progress are aborted.
    abort: CancellationToken,
}

impl<E> Clone for Server<E> {
    fn clone(&self) -> Self {
        Self {
            endpoint: Arc::clone(&self.endpoint),
            local: self.local.clone(),
            pace: self.pace,
            shutdown: self.shutdown.clone(),
            abort: self.abort.clone(),
        }
    }
}

impl<E: Endpoint + 'static> Server<E> {
    async fn connection(self, stream: TcpStream, peer: SocketAddr, slot: ConnectionSlot) {
        // Answers are written in large pieces, so Nagle's algorithm would only delay them.
        if stream.set_nodelay(true).is_err() {
            return;
        }
        let slot = Arc::new(slot);
        let peer = RemoteAddr(peer.into());
        let service = service_fn(|request| self.answer(request, &peer, &slot));
        let stream = ClientStream::new(stream, Arc::clone(&slot));
        // The table of connections enforces all times.
        let serving = http1::Builder::new()
            .header_read_timeout(None)
            .max_buf_size(MAX_READ_AHEAD)
            .max_headers(MAX_HEADERS)
            .serve_connection(TokioIo::new(stream), service);
        tokio::pin!(serving);
        let ended = tokio::select! {
            ended = &mut serving => ended,
            () = slot.closed() => return,
            () = self.abort.cancelled() => return,
            () = self.shutdown.cancelled() => {
                serving.as_mut().graceful_shutdown();
                tokio::select! {
                    ended = &mut serving => ended,
                    () = slot.closed() => return,
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
        peer: &RemoteAddr,
        slot: &Arc<ConnectionSlot>,
    ) -> io::Result<hyper::Response<ResponseBody>> {
        let active = slot.begin(!request.body().is_end_stream());
        let request = self.request(request, peer, slot);
        let response = self.endpoint.get_response(request).await;
        let response = hyper::Response::<BoxBody<Bytes, io::Error>>::from(response);
        let (mut parts, body) = response.into_parts();
        if parts.extensions.get::<Resumable>().is_some() {
            slot.enter(Phase::Streaming);
        }
        if slot.has_unread_body() {
            // The rest of the body is not read, so no other request can follow on this connection.
            parts
                .headers
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
        let extensions = std::mem::take(&mut parts.extensions);
        let body = ResponseBody::new(body, active, extensions);
        Ok(hyper::Response::from_parts(parts, body))
    }

    /// Converts a request for the framework, with a body of a minimum rate.
    fn request(
        &self,
        request: hyper::Request<Incoming>,
        peer: &RemoteAddr,
        slot: &Arc<ConnectionSlot>,
    ) -> Request {
        let (parts, body) = request.into_parts();
        let body = if body.is_end_stream() {
            Body::empty()
        } else {
            Body::from(RequestBody::new(body, Arc::clone(slot), self.pace).boxed())
        };
        let (local, peer) = (self.local.clone(), peer.clone());
        Request::from_parts(RequestParts::from((parts, local, peer, Scheme::HTTP)), body)
    }
}
