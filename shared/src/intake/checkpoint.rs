//! When a checkpoint is due, and the state of the hash at it.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use sha2::{
    Digest as _,
    digest::common::hazmat::{SerializableState, SerializedState},
};

/// The least bytes worth a checkpoint: fewer are soon fetched again.
const LEAST_BYTES: u64 = 1024 * 1024;
/// So many bytes are worth one at once, and any at all after a while.
const MANY_BYTES: u64 = 16 * 1024 * 1024;
const A_WHILE: Duration = Duration::from_secs(2);
/// No two checkpoints come closer: each is a statement to the database.
const LEAST_PAUSE: Duration = Duration::from_millis(250);

/// The checkpoints of one intake.
pub(super) struct Checkpoints {
    /// How many bytes the last one was about.
    last: u64,
    /// How many bytes there were at the beginning.
    first: u64,
    tried_at: Instant,
    /// States of the hash at places where storage may keep bytes, of those after the last one.
    states: VecDeque<(u64, sha2::Sha256)>,
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
        if new < LEAST_BYTES {
            return false;
        }
        let pause = self.tried_at.elapsed();
        pause >= A_WHILE || (new >= MANY_BYTES && pause >= LEAST_PAUSE)
    }

    /// Whatever came of it, the next one is not due at once.
    pub(super) fn tried(&mut self) {
        self.tried_at = Instant::now();
    }

    pub(super) fn wrote(&mut self, bytes: u64) {
        self.last = bytes;
        while self.states.front().is_some_and(|(at, _)| *at <= bytes) {
            self.states.pop_front();
        }
    }

    /// Hashes bytes that begin at `before`, and keeps the state wherever storage may.
    pub(super) fn hash(
        &mut self,
        hasher: &mut sha2::Sha256,
        before: u64,
        mut bytes: &[u8],
        unit: Option<u64>,
    ) {
        let mut at = before;
        if let Some(unit) = unit {
            while let Some((head, rest)) = split_at_next(bytes, at, unit) {
                hasher.update(head);
                at += head.len() as u64;
                self.states.push_back((at, hasher.clone()));
                bytes = rest;
            }
        }
        hasher.update(bytes);
    }

    /// The state of the hash after so many bytes, if it is known.
    pub(super) fn state_at(&self, bytes: u64, now: &sha2::Sha256, size: u64) -> Option<String> {
        if bytes == size {
            return Some(hex::encode(now.serialize()));
        }
        let known = self.states.iter().find(|(at, _)| *at == bytes)?;
        Some(hex::encode(known.1.serialize()))
    }
}

/// Splits bytes that begin at `at` where the next unit begins, if that is within them or at their
/// end.
fn split_at_next(bytes: &[u8], at: u64, unit: u64) -> Option<(&[u8], &[u8])> {
    let left = unit - at.checked_rem(unit)?;
    let left = usize::try_from(left).ok()?;
    (left <= bytes.len()).then(|| bytes.split_at(left))
}

/// A state as it stands in a checkpoint.
pub(super) fn restore(text: &str) -> Option<sha2::Sha256> {
    let bytes = hex::decode(text).ok()?;
    let state = SerializedState::<sha2::Sha256>::try_from(bytes.as_slice()).ok()?;
    sha2::Sha256::deserialize(&state).ok()
}
