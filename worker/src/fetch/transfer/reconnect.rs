//! Limits how often, and with which delays, a broken connection is replaced.

use std::time::Duration;

use rand::RngExt as _;

/// Maximum number of new connections without [`PROGRESS_BYTES`] of progress.
const MAX_RECONNECTS: u32 = 4;
/// Number of bytes after which the count starts over.
const PROGRESS_BYTES: u64 = 256 * 1024;
/// Delay before the first new connection; it doubles for each further one.
const FIRST_DELAY: Duration = Duration::from_millis(100);

/// Counts new connections since the last progress.
#[derive(Debug)]
pub(super) struct ReconnectLimit {
    count: u32,
    since: u64,
}

impl ReconnectLimit {
    pub(super) fn new(position: u64) -> Self {
        Self {
            count: 0,
            since: position,
        }
    }

    /// Returns the delay before the next connection, or nothing if the limit is reached.
    pub(super) fn next_delay(&mut self, position: u64) -> Option<Duration> {
        if position - self.since >= PROGRESS_BYTES {
            *self = Self::new(position);
        }
        if self.count == MAX_RECONNECTS {
            return None;
        }
        let delay = FIRST_DELAY * 2_u32.pow(self.count);
        self.count += 1;
        Some(rand::rng().random_range(delay / 2..=delay))
    }
}
