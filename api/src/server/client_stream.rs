//! The byte stream of a connection. It reports progress to the table of connections, and drains the rest of a
//! rejected body before it closes.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Sleep, sleep},
};

use super::connections::{ConnectionSlot, Phase};

/// The most bytes of a rejected body that are drained.
const MAX_DRAINED_BYTES: usize = 16 << 20;
/// The longest time to drain a rejected body.
const MAX_DRAIN_TIME: Duration = Duration::from_secs(5);
/// The buffer size for draining.
const DRAIN_BUFFER_BYTES: usize = 16 * 1024;

/// A stream that reports its bytes to its slot. At shutdown it drains the rest of a rejected body for a while: a
/// client that writes into a closed connection never reads why its request was rejected.
pub(super) struct ClientStream {
    stream: TcpStream,
    slot: Arc<ConnectionSlot>,
    drain: Option<Drain>,
}

struct Drain {
    limit: Pin<Box<Sleep>>,
    bytes: usize,
}

impl ClientStream {
    pub(super) fn new(stream: TcpStream, slot: Arc<ConnectionSlot>) -> Self {
        Self {
            stream,
            slot,
            drain: None,
        }
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => self.slot.write_blocked(),
            Poll::Ready(Ok(bytes)) => self.slot.bytes_sent(Some(*bytes)),
            Poll::Ready(Err(_)) => {}
        }
        written
    }

    /// Drains a rejected body until the client closes its side or a limit is reached.
    fn poll_drain_rejected_body(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let slot = &self.slot;
        let drain = self.drain.get_or_insert_with(|| {
            slot.enter(Phase::Draining);
            Drain {
                limit: Box::pin(sleep(MAX_DRAIN_TIME)),
                bytes: 0,
            }
        });
        if drain.limit.as_mut().poll(context).is_ready() {
            return Poll::Ready(());
        }
        let mut buffer = [0; DRAIN_BUFFER_BYTES];
        while drain.bytes < MAX_DRAINED_BYTES {
            let mut buffer = ReadBuf::new(&mut buffer);
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                break;
            }
            drain.bytes += buffer.filled().len();
        }
        Poll::Ready(())
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        match buffer.filled().len() - before {
            0 => {}
            bytes => self.slot.bytes_received(bytes),
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.slot.bytes_sent(None);
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        if self.slot.has_unread_body() {
            ready!(self.poll_drain_rejected_body(context));
        }
        Poll::Ready(Ok(()))
    }
}
