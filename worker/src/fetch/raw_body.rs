//! The body of an answer as it is sent, with limits on every wait and on its rate.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use tokio::time::timeout;

use super::{
    connect::{Connection, END_TIMEOUT},
    error::ExchangeError,
};

/// Minimum rate over the length of the stall timeout: a slower origin would block a slot.
const MIN_BYTES_PER_SECOND: u64 = 256;
/// Time of waiting after which the minimum rate doubles: the longer an import takes, the more others wait for
/// its slot. The next attempt resumes where this one stopped.
const RATE_DOUBLING_PERIOD: Duration = Duration::from_mins(10);
/// Caps the minimum rate at 64 KiB per second.
const MAX_RATE_DOUBLINGS: u64 = 8;

/// The bytes of a body as the origin sends them.
pub(super) struct RawBody {
    incoming: Incoming,
    stall: Duration,
    rate: RateMonitor,
    /// Number of bytes still to come, if hyper does not count them.
    remaining: Option<u64>,
    /// Closed with the body.
    connection: Connection,
}

impl RawBody {
    /// `length` is the number of bytes, if hyper does not count them.
    pub(super) fn new(
        incoming: Incoming,
        connection: Connection,
        stall: Duration,
        length: Option<u64>,
    ) -> Self {
        Self {
            incoming,
            stall,
            rate: RateMonitor::default(),
            remaining: length,
            connection,
        }
    }

    async fn end(&mut self) -> Result<Option<Bytes>, ExchangeError> {
        if self.connection.has_excess_bytes().await {
            return Err(ExchangeError::ExcessBytes);
        }
        Ok(None)
    }

    /// Ends a body that hyper reads until the connection closes.
    async fn end_of_counted(&mut self) -> Result<Option<Bytes>, ExchangeError> {
        match timeout(END_TIMEOUT, self.incoming.frame()).await {
            Ok(Some(Ok(frame))) if frame.is_data() => Err(ExchangeError::ExcessBytes),
            _ => Ok(None),
        }
    }

    /// Returns the next bytes. A body that ends early, stalls or breaks is an error, never an end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, ExchangeError> {
        if self.remaining == Some(0) {
            return self.end_of_counted().await;
        }
        let asked = Instant::now();
        loop {
            let frame = match timeout(self.stall, self.incoming.frame()).await {
                Ok(None) if self.remaining.is_some() => return Err(ExchangeError::Incomplete),
                Ok(None) => return self.end().await,
                Ok(Some(Ok(frame))) => frame,
                Ok(Some(Err(error))) => return Err(ExchangeError::from_body(&error)),
                Err(_) => return Err(ExchangeError::Stalled(self.stall)),
            };
            // Trailers are ignored.
            if let Ok(bytes) = frame.into_data() {
                self.count(bytes.len())?;
                return if self
                    .rate
                    .is_sufficient(asked.elapsed(), bytes.len(), self.stall)
                {
                    Ok(Some(bytes))
                } else {
                    Err(ExchangeError::TooSlow(self.stall))
                };
            }
        }
    }

    fn count(&mut self, bytes: usize) -> Result<(), ExchangeError> {
        if let Some(remaining) = &mut self.remaining {
            let rest = remaining.checked_sub(bytes as u64);
            *remaining = rest.ok_or(ExchangeError::ExcessBytes)?;
        }
        Ok(())
    }
}

/// Measures the rate over the time spent waiting for the origin; time spent writing to storage does not
/// count.
#[derive(Debug, Default)]
struct RateMonitor {
    waited: Duration,
    received: u64,
    /// Time spent waiting before the current window.
    waited_before: Duration,
}

impl RateMonitor {
    fn is_sufficient(&mut self, waited: Duration, received: usize, window: Duration) -> bool {
        self.waited += waited;
        self.received += received as u64;
        if self.waited < window {
            return true;
        }
        let is_sufficient = self.received >= min_rate(self.waited_before) * self.waited.as_secs();
        self.waited_before += self.waited;
        (self.waited, self.received) = (Duration::ZERO, 0);
        is_sufficient
    }
}

/// Returns the minimum rate in bytes per second after this time of waiting.
fn min_rate(waited: Duration) -> u64 {
    let doublings = waited.as_secs() / RATE_DOUBLING_PERIOD.as_secs();
    MIN_BYTES_PER_SECOND << doublings.min(MAX_RATE_DOUBLINGS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimum_rate_rises_with_time() {
        let stall = Duration::from_secs(30);
        let lasts = |rate: usize| {
            let mut monitor = RateMonitor::default();
            let mut seconds = 0;
            while seconds < 36_000 && monitor.is_sufficient(Duration::from_secs(1), rate, stall) {
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
