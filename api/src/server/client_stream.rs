//! The bytes of a connection, as the table of connections needs to know of them.

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

use super::connections::{Phase, Slot};

/// The most bytes of a refused body that are read to no purpose.
const MAX_DRAINED_BYTES: usize = 16 << 20;
/// The longest time that is spent on it.
const MAX_DRAIN_TIME: Duration = Duration::from_secs(5);
/// How much of it is read at once.
const DRAIN_BUFFER_BYTES: usize = 16 * 1024;

/// A connection that tells its slot of bytes that come and go, and closes so that the client can read
/// the answer: if some of a refused body is still to come, it is read for a while. A client that writes
/// into a closed connection never reads why its request was refused.
pub(super) struct ClientStream {
    stream: TcpStream,
    slot: Arc<Slot>,
    drain: Option<Drain>,
}

struct Drain {
    limit: Pin<Box<Sleep>>,
    bytes: usize,
}

impl ClientStream {
    pub(super) fn new(stream: TcpStream, slot: Arc<Slot>) -> Self {
        Self {
            stream,
            slot,
            drain: None,
        }
    }

    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        match &written {
            Poll::Pending => self.slot.write_blocked(),
            Poll::Ready(Ok(bytes)) => self.slot.bytes_went(Some(*bytes)),
            Poll::Ready(Err(_)) => {}
        }
        written
    }

    /// Reads on until the client has closed its side, or a limit is reached.
    fn poll_drain(&mut self, context: &mut Context<'_>) -> Poll<()> {
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
            bytes => self.slot.bytes_came(bytes),
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
        self.slot.bytes_went(None);
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
        if self.slot.has_unread_body() {
            ready!(self.poll_drain(context));
        }
        Poll::Ready(Ok(()))
    }
}
