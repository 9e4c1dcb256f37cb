//! The schedule of checkpoints, and the digests at each.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use crate::digests::Digests;

/// The fewest new bytes for a checkpoint: fewer are soon fetched again.
const MIN_NEW_BYTES: u64 = 1024 * 1024;
/// The number of new bytes after which a checkpoint is due before [`MAX_INTERVAL`].
const DUE_BYTES: u64 = 16 * 1024 * 1024;
/// The time after which a checkpoint is due.
const MAX_INTERVAL: Duration = Duration::from_secs(2);
/// The least time between two checkpoints, since each is a statement to the database.
const MIN_INTERVAL: Duration = Duration::from_millis(250);

/// The checkpoints of one object.
pub(super) struct Checkpoints {
    /// The position of the last one.
    last: u64,
    /// The position at the beginning.
    first: u64,
    tried_at: Instant,
    /// The digests at possible positions after the last one.
    states: VecDeque<(u64, Digests)>,
}

impl Checkpoints {
    pub(super) fn after(bytes: u64) -> Self {
        Self {
            last: bytes,
            first: bytes,
            tried_at: Instant::now(),
            states: VecDeque::new(),
        }
    }

    pub(super) fn is_resumed(&self) -> bool {
        self.first > 0
    }

    pub(super) fn last(&self) -> u64 {
        self.last
    }

    pub(super) fn is_due(&self, size: u64) -> bool {
        let new = size - self.last;
        if new < MIN_NEW_BYTES {
            return false;
        }
        let pause = self.tried_at.elapsed();
        pause >= MAX_INTERVAL || (new >= DUE_BYTES && pause >= MIN_INTERVAL)
    }

    /// Notes a try, successful or not: the next one is not due at once.
    pub(super) fn tried(&mut self) {
        self.tried_at = Instant::now();
    }

    pub(super) fn wrote(&mut self, bytes: u64) {
        self.last = bytes;
        while self.states.front().is_some_and(|(at, _)| *at <= bytes) {
            self.states.pop_front();
        }
    }

    /// Hashes bytes that begin at `before`, and keeps the state at each multiple of the granularity.
    pub(super) fn hash(
        &mut self,
        digests: &mut Digests,
        before: u64,
        mut bytes: &[u8],
        granularity: Option<u64>,
    ) {
        let mut at = before;
        if let Some(granularity) = granularity {
            while let Some((head, rest)) = split_at_next(bytes, at, granularity) {
                digests.update(head);
                at += head.len() as u64;
                self.states.push_back((at, digests.clone()));
                bytes = rest;
            }
        }
        digests.update(bytes);
    }

    /// The digests at a position, if they are known.
    pub(super) fn digests_at<'a>(
        &'a self,
        bytes: u64,
        now: &'a Digests,
        size: u64,
    ) -> Option<&'a Digests> {
        if bytes == size {
            return Some(now);
        }
        let known = self.states.iter().find(|(at, _)| *at == bytes);
        known.map(|(_, digests)| digests)
    }
}

/// Splits bytes that begin at `at` at the next multiple of the granularity, if it is within them or at their end.
fn split_at_next(bytes: &[u8], at: u64, granularity: u64) -> Option<(&[u8], &[u8])> {
    let left = granularity - at.checked_rem(granularity)?;
    let left = usize::try_from(left).ok()?;
    (left <= bytes.len()).then(|| bytes.split_at(left))
}
