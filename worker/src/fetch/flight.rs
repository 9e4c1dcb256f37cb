//! Several connections for one import: which parts are fetched ahead, and when.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    Fetcher, Head, Target,
    ahead::{Ahead, Order},
    pilot::Pilot,
};

const MEBIBYTE: u64 = 1024 * 1024;
/// The size of a part: what a connection brings in about two seconds, within these bounds.
const LEAST_PART: u64 = MEBIBYTE;
const MOST_PART: u64 = 4 * MEBIBYTE;
const PART_SECONDS: f64 = 2.0;
/// More than this at once helps no import, and is impolite.
const MOST_AT_ONCE: usize = 8;

/// The parts of one import that are fetched ahead.
pub(super) struct Flight {
    fetcher: Fetcher,
    near: Target,
    pilot: Pilot,
    ahead: VecDeque<Ahead>,
    part_bytes: u64,
    received: Arc<AtomicU64>,
    waited: Duration,
}

impl Flight {
    /// A flight of one connection, if the bytes can be had in parts at all. `near` is where they
    /// come from without a redirect.
    pub(super) fn of(fetcher: &Fetcher, near: Target, head: &Head) -> Option<Self> {
        let total = head.identity.total?;
        let worth_it = head.accepts_ranges && head.identity.can_be_resumed();
        (worth_it && total > 2 * MOST_PART).then(|| Self {
            fetcher: fetcher.clone(),
            near,
            pilot: Pilot::new(fetcher.most_at_once.min(MOST_AT_ONCE), Instant::now()),
            ahead: VecDeque::new(),
            part_bytes: MOST_PART,
            received: Arc::default(),
            waited: Duration::ZERO,
        })
    }

    /// The reader has waited so long, and got so many bytes from the connection that it reads.
    pub(super) fn note(&mut self, waited: Duration, bytes: usize) {
        self.waited += waited;
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Begins to fetch parts, if more connections are wanted. The reader is at `position`; what it
    /// reads now ends at `end`, if that is a part, and `reading` says whether it is still coming.
    pub(super) fn steer(&mut self, head: &Head, position: u64, end: Option<u64>, reading: bool) {
        let received = self.received.load(Ordering::Relaxed);
        let under_way = self.under_way(reading);
        if let Some(rate) = self.pilot.note(received, self.waited, Instant::now()) {
            self.part_bytes = part_bytes(rate, under_way.max(1));
        }
        for _ in under_way..self.pilot.wanted() {
            let last = self.ahead.back().map(|part| part.end).or(end);
            let start = last.unwrap_or(position + self.part_bytes);
            if !self.begin(head, start) {
                return;
            }
        }
    }

    /// Where the first part begins that is fetched ahead.
    pub(super) fn begins_at(&self) -> Option<u64> {
        self.ahead.front().map(|part| part.start)
    }

    /// Whether the first part brings bytes.
    pub(super) fn has_begun(&mut self) -> bool {
        self.ahead.front_mut().is_some_and(Ahead::has_begun)
    }

    /// The first part, for the reader.
    pub(super) fn take_first(&mut self) -> Option<Ahead> {
        self.ahead.pop_front()
    }

    /// The origin refuses a connection more, without saying that it is broken: it is asked for no more
    /// of them than it has taken.
    pub(super) fn take_the_hint(&mut self) {
        self.pilot.settle_for(self.under_way(true), Instant::now());
    }

    fn under_way(&self, reading: bool) -> usize {
        let ahead = self.ahead.iter().filter(|part| !part.is_fetched()).count();
        ahead + usize::from(reading)
    }

    fn begin(&mut self, head: &Head, start: u64) -> bool {
        let total = head.identity.total.unwrap_or_default();
        let end = total.min(start + self.part_bytes);
        let mebibytes = u32::try_from(self.part_bytes.div_ceil(MEBIBYTE)).unwrap_or(u32::MAX);
        if start >= end {
            return false;
        }
        let memory = Arc::clone(&self.fetcher.memory).try_acquire_many_owned(mebibytes);
        let slot = self.fetcher.slots.try_take(&self.near.url);
        let (Ok(memory), Some(slot)) = (memory, slot) else {
            return false;
        };
        self.ahead.push_back(Ahead::begin(Order {
            fetcher: self.fetcher.clone(),
            target: self.near.clone(),
            identity: head.identity.clone(),
            start,
            end,
            slot,
            memory,
            received: Arc::clone(&self.received),
        }));
        true
    }
}

#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "clamped to a few mebibytes"
)]
fn part_bytes(rate: f64, connections: usize) -> u64 {
    let bytes = (rate / connections as f64 * PART_SECONDS) as u64;
    bytes.clamp(LEAST_PART, MOST_PART)
}
