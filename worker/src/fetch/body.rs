//! The body of an answer, with a limit on every wait.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use media_shared::job::Failure;
use tokio::time::timeout;
use url::Url;

use super::{
    connect::{Connection, Ending},
    failure,
};

/// An origin that sends less than this over the length of a stall holds a worker for nothing.
const LEAST_BYTES_PER_SECOND: u64 = 256;

/// Bytes that come from an origin. Dropping it closes the connection.
pub(super) struct Body {
    url: Url,
    incoming: Incoming,
    stall: Duration,
    pace: Pace,
    /// Closed with the body.
    connection: Connection,
}

impl Body {
    pub(super) fn new(
        url: Url,
        incoming: Incoming,
        connection: Connection,
        stall: Duration,
    ) -> Self {
        Self {
            url,
            incoming,
            stall,
            pace: Pace::default(),
            connection,
        }
    }

    async fn end(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.connection.ending().await {
            Ending::Clean => Ok(None),
            Ending::Excess => Err(failure::excess(&self.url)),
        }
    }

    /// The next bytes. A body that ends early, stalls or breaks is an error, never an end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        let asked = Instant::now();
        loop {
            let frame = match timeout(self.stall, self.incoming.frame()).await {
                Ok(None) => return self.end().await,
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(failure::of_body(&self.url, &error)),
                Err(_) => return Err(failure::stalled(&self.url, self.stall)),
            };
            // Trailers are of no interest.
            if let Ok(bytes) = frame.into_data() {
                return if self.pace.holds(asked.elapsed(), bytes.len(), self.stall) {
                    Ok(Some(bytes))
                } else {
                    Err(failure::too_slow(&self.url, self.stall))
                };
            }
        }
    }
}

/// How much came over the time that was spent waiting for it: storage that is slow to take bytes is
/// not the origin's fault.
#[derive(Debug, Default)]
struct Pace {
    waited: Duration,
    received: u64,
}

impl Pace {
    fn holds(&mut self, waited: Duration, received: usize, window: Duration) -> bool {
        self.waited += waited;
        self.received += received as u64;
        if self.waited < window {
            return true;
        }
        let holds = self.received >= LEAST_BYTES_PER_SECOND * self.waited.as_secs();
        (self.waited, self.received) = (Duration::ZERO, 0);
        holds
    }
}
