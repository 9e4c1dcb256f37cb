//! The body of an answer, with a limit on every wait.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use media_domain::job::Failure;
use tokio::time::timeout;
use url::Url;

use super::{
    coding::{Coding, Decoder},
    connect::{Connection, ENDING_LIMIT, Ending},
    failure,
};

/// An origin that sends less than this over the length of a stall holds a slot for nothing.
const LEAST_BYTES_PER_SECOND: u64 = 256;
/// The time after which an origin has to send twice as fast: the longer an import takes, the more others wait
/// for its slot. An attempt that ends so is followed by another, which goes on where it stopped.
const PACE_DOUBLES_AFTER: Duration = Duration::from_mins(10);
/// No more than 64 KiB a second are asked for.
const MAX_PACE_DOUBLINGS: u64 = 8;

/// Bytes of a file that come from an origin. Dropping it closes the connection.
#[allow(
    clippy::large_enum_variant,
    reason = "the large one is by far the most common"
)]
pub(super) enum Body {
    /// As they were sent.
    Raw(RawBody),
    /// In a content coding, which is undone.
    Coded(Box<Decoder>),
}

impl Body {
    /// A body whose codings are to be undone, in this order.
    pub(super) fn new(body: RawBody, codings: Vec<Coding>) -> Self {
        if codings.is_empty() {
            return Self::Raw(body);
        }
        Self::Coded(Box::new(Decoder::new(body.url.clone(), body, codings)))
    }

    /// The next bytes. A body that ends early, stalls or breaks is an error, never an end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        match self {
            Self::Raw(body) => body.next().await,
            Self::Coded(decoder) => decoder.next().await,
        }
    }
}

/// Bytes as an origin sends them.
pub(super) struct RawBody {
    url: Url,
    incoming: Incoming,
    stall: Duration,
    pace: Pace,
    /// How many bytes are still to come, where the HTTP library does not count them.
    left: Option<u64>,
    /// Closed with the body.
    connection: Connection,
}

impl RawBody {
    /// `length` is how many bytes there are, if only the caller knows.
    pub(super) fn new(
        url: Url,
        incoming: Incoming,
        connection: Connection,
        stall: Duration,
        length: Option<u64>,
    ) -> Self {
        Self {
            url,
            incoming,
            stall,
            pace: Pace::default(),
            left: length,
            connection,
        }
    }

    async fn end(&mut self) -> Result<Option<Bytes>, Failure> {
        match self.connection.ending().await {
            Ending::Clean => Ok(None),
            Ending::Excess => Err(failure::excess(&self.url)),
        }
    }

    /// The end of a body that the library takes for one that ends with the connection.
    async fn end_of_counted(&mut self) -> Result<Option<Bytes>, Failure> {
        match timeout(ENDING_LIMIT, self.incoming.frame()).await {
            Ok(Some(Ok(frame))) if frame.is_data() => Err(failure::excess(&self.url)),
            _ => Ok(None),
        }
    }

    /// The next bytes. A body that ends early, stalls or breaks is an error, never an end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        if self.left == Some(0) {
            return self.end_of_counted().await;
        }
        let asked = Instant::now();
        loop {
            let frame = match timeout(self.stall, self.incoming.frame()).await {
                Ok(None) if self.left.is_some() => return Err(failure::incomplete(&self.url)),
                Ok(None) => return self.end().await,
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(failure::of_body(&self.url, &error)),
                Err(_) => return Err(failure::stalled(&self.url, self.stall)),
            };
            // Trailers are of no interest.
            if let Ok(bytes) = frame.into_data() {
                self.count(bytes.len())?;
                return if self.pace.holds(asked.elapsed(), bytes.len(), self.stall) {
                    Ok(Some(bytes))
                } else {
                    Err(failure::too_slow(&self.url, self.stall))
                };
            }
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), Failure> {
        if let Some(left) = &mut self.left {
            let rest = left.checked_sub(bytes as u64);
            *left = rest.ok_or_else(|| failure::excess(&self.url))?;
        }
        Ok(())
    }
}

/// How much came over the time that was spent waiting for it: storage that is slow to take bytes is
/// not the origin's fault.
#[derive(Debug, Default)]
struct Pace {
    waited: Duration,
    received: u64,
    /// The time spent waiting since the body began.
    waited_in_all: Duration,
}

impl Pace {
    fn holds(&mut self, waited: Duration, received: usize, window: Duration) -> bool {
        self.waited += waited;
        self.received += received as u64;
        if self.waited < window {
            return true;
        }
        let holds = self.received >= least_rate(self.waited_in_all) * self.waited.as_secs();
        self.waited_in_all += self.waited;
        (self.waited, self.received) = (Duration::ZERO, 0);
        holds
    }
}

/// The bytes that an origin has to send a second after it was waited for as long.
fn least_rate(waited: Duration) -> u64 {
    let doublings = waited.as_secs() / PACE_DOUBLES_AFTER.as_secs();
    LEAST_BYTES_PER_SECOND << doublings.min(MAX_PACE_DOUBLINGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_to_send_faster_the_longer_it_takes() {
        let stall = Duration::from_secs(30);
        let lasts = |rate: usize| {
            let mut pace = Pace::default();
            let mut seconds = 0;
            while seconds < 36_000 && pace.holds(Duration::from_secs(1), rate, stall) {
                seconds += 1;
            }
            seconds
        };
        assert_eq!(lasts(255), 29);
        assert!((599..=660).contains(&lasts(256)));
        assert!((1199..=1260).contains(&lasts(600)));
        assert_eq!(lasts(65_536), 36_000);
    }
}
