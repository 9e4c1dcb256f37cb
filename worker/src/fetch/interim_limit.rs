//! The limit of interim responses (1xx) before an answer. hyper ignores any number of them.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use hyper::Request;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Maximum number of interim responses before an answer.
const MAX_INTERIM_RESPONSES: usize = 16;

/// Counts the interim responses on a connection. Clones share the count.
#[derive(Clone, Default)]
pub(super) struct InterimCounter(Arc<AtomicUsize>);

impl InterimCounter {
    /// Counts the interim responses to a request.
    pub(super) fn watch<B>(&self, request: &mut Request<B>) {
        let count = Arc::clone(&self.0);
        hyper::ext::on_informational(request, move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        });
    }

    /// Whether there were too many.
    pub(super) fn is_exceeded(&self) -> bool {
        self.0.load(Ordering::Relaxed) > MAX_INTERIM_RESPONSES
    }
}

/// A connection that fails once there were too many interim responses. hyper would read for as long as bytes come, and
/// keep its thread for seconds.
pub(super) struct InterimLimited<S> {
    stream: S,
    interim: InterimCounter,
}

impl<S> InterimLimited<S> {
    pub(super) fn new(stream: S, interim: InterimCounter) -> Self {
        Self { stream, interim }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for InterimLimited<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.interim.is_exceeded() {
            return Poll::Ready(Err(io::Error::other("too many interim responses")));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for InterimLimited<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
