//! The bodies of requests and answers while they are transferred.

use std::{
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use hyper::{
    body::{Body, Frame, Incoming, SizeHint},
    http::Extensions,
};
use tokio::time::{Instant, Sleep, sleep};

use super::connections::{ActiveRequest, ConnectionSlot};

/// The largest chunk of an answer that is passed to hyper: the answer counts as in progress until little of it is
/// left.
const MAX_FRAME_BYTES: usize = 64 * 1024;

/// The minimum rate of request bodies.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodyPace {
    /// Bytes a second.
    pub(crate) min_rate: u64,
    /// The window over which the rate is measured. Only time spent waiting for the client counts.
    pub(crate) window: Duration,
}

impl BodyPace {
    /// The minimum bytes in a window: at least one.
    fn min_bytes(self) -> u64 {
        self.min_rate
            .saturating_mul(self.window.as_millis().try_into().unwrap_or(u64::MAX))
            .div_ceil(1000)
            .max(1)
    }
}

/// The body of a request, which fails with [`io::ErrorKind::TimedOut`] if it arrives too slowly.
pub(super) struct RequestBody {
    body: Incoming,
    slot: Arc<ConnectionSlot>,
    pace: BodyPace,
    /// The start of the current wait for the client.
    waiting: Option<Instant>,
    /// Time waited in the current window.
    waited: Duration,
    /// Bytes received in the current window.
    received: u64,
    timer: Pin<Box<Sleep>>,
}

impl RequestBody {
    pub(super) fn new(body: Incoming, slot: Arc<ConnectionSlot>, pace: BodyPace) -> Self {
        Self {
            body,
            slot,
            pace,
            waiting: None,
            waited: Duration::ZERO,
            received: 0,
            timer: Box::pin(sleep(pace.window)),
        }
    }

    /// Ends the window when its time is over; fails if too few bytes were received in it.
    fn end_window(&mut self) -> io::Result<()> {
        if self.waited < self.pace.window {
            return Ok(());
        }
        if self.received < self.pace.min_bytes() {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                format!(
                    "the body arrived at less than {} bytes a second",
                    self.pace.min_rate
                ),
            ));
        }
        self.waited = Duration::ZERO;
        self.received = 0;
        Ok(())
    }

    fn poll_wait(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let now = Instant::now();
            if let Some(since) = self.waiting.replace(now) {
                self.waited += now - since;
            } else {
                let left = self.pace.window.saturating_sub(self.waited);
                self.timer.as_mut().reset(now + left);
            }
            if self.timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.waited = self.waited.max(self.pace.window);
            if let Err(error) = self.end_window() {
                return Poll::Ready(Err(error));
            }
            self.waiting = None;
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) else {
            return self.poll_wait(context).map(|end| end.err().map(Err));
        };
        if let Some(since) = self.waiting.take() {
            self.waited += since.elapsed();
        }
        if self.body.is_end_stream() || frame.is_none() {
            self.slot.body_ended();
        }
        let Some(frame) = frame else {
            return Poll::Ready(None);
        };
        let frame = frame.map_err(io::Error::other);
        if let Ok(Some(bytes)) = frame.as_ref().map(Frame::data_ref) {
            self.received += bytes.len() as u64;
        }
        Poll::Ready(Some(
            frame.and_then(|frame| self.end_window().map(|()| frame)),
        ))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer. Until it is dropped, its connection counts as active, and the answer's extensions (shares
/// of limits and of memory) stay alive.
pub(super) struct ResponseBody {
    body: BoxBody<Bytes, io::Error>,
    /// The rest of a frame that is larger than [`MAX_FRAME_BYTES`].
    rest: Bytes,
    _request: ActiveRequest,
    _extensions: Extensions,
}

impl ResponseBody {
    pub(super) fn new(
        body: BoxBody<Bytes, io::Error>,
        request: ActiveRequest,
        extensions: Extensions,
    ) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            _request: request,
            _extensions: extensions,
        }
    }

    fn next_piece(&mut self) -> Frame<Bytes> {
        let bytes = self.rest.len().min(MAX_FRAME_BYTES);
        Frame::data(self.rest.split_to(bytes))
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(self.next_piece())));
        }
        let frame = std::task::ready!(Pin::new(&mut self.body).poll_frame(context));
        Poll::Ready(frame.map(|frame| {
            Ok(match frame?.into_data() {
                Ok(data) => {
                    self.rest = data;
                    self.next_piece()
                }
                Err(frame) => frame,
            })
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            hint.set_upper(upper.saturating_add(rest));
        }
        hint
    }
}
