//! The ranges of one import that are prefetched over additional connections.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    concurrency_controller::ConcurrencyController,
    prefetch::{Prefetch, PrefetchRequest},
};
use crate::fetch::{fetcher::Fetcher, response_head::Head, target::Target};

const MEBIBYTE: u64 = 1024 * 1024;
/// Bounds of the size of a range.
const MIN_RANGE_BYTES: u64 = MEBIBYTE;
const MAX_RANGE_BYTES: u64 = 4 * MEBIBYTE;
/// Time that one connection should need for a range.
const RANGE_SECONDS: f64 = 2.0;
/// Maximum number of connections of one import: more rarely help and burden the origin.
const MAX_CONNECTIONS: usize = 8;

/// The prefetched ranges of one import, in order.
pub(super) struct ParallelRanges {
    fetcher: Fetcher,
    final_target: Target,
    controller: ConcurrencyController,
    prefetches: VecDeque<Prefetch>,
    range_bytes: u64,
    received: Arc<AtomicU64>,
    waited: Duration,
}

impl ParallelRanges {
    /// Starts with one connection; nothing if ranges are not available or the file is small.
    pub(super) fn new(fetcher: &Fetcher, final_target: Target, head: &Head) -> Option<Self> {
        let total = head.identity.total?;
        let has_ranges = head.accepts_ranges && head.identity.can_be_resumed();
        let max = fetcher.max_connections_per_import.min(MAX_CONNECTIONS);
        (has_ranges && total > 2 * MAX_RANGE_BYTES).then(|| Self {
            fetcher: fetcher.clone(),
            final_target,
            controller: ConcurrencyController::new(max, Instant::now()),
            prefetches: VecDeque::new(),
            range_bytes: MAX_RANGE_BYTES,
            received: Arc::default(),
            waited: Duration::ZERO,
        })
    }

    /// Records the time that the reader has waited, and the bytes that it got from its own connection.
    pub(super) fn record(&mut self, waited: Duration, bytes: usize) {
        self.waited += waited;
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Starts prefetches if more connections are wanted. The reader is at `position`; its current range ends at
    /// `end`, if it does before the end of the file, and `is_receiving` tells whether its connection is open.
    pub(super) fn adjust(
        &mut self,
        head: &Head,
        position: u64,
        end: Option<u64>,
        is_receiving: bool,
    ) {
        let received = self.received.load(Ordering::Relaxed);
        let open = self.open_connections(is_receiving);
        if let Some(rate) = self
            .controller
            .adjust(received, self.waited, Instant::now())
        {
            self.range_bytes = range_bytes(rate, open.max(1));
        }
        for _ in open..self.controller.target() {
            let last = self.prefetches.back().map(|prefetch| prefetch.end).or(end);
            let start = last.unwrap_or(position + self.range_bytes);
            if !self.prefetch(head, start) {
                return;
            }
        }
    }

    /// Returns the start of the first prefetched range.
    pub(super) fn first_start(&self) -> Option<u64> {
        self.prefetches.front().map(|prefetch| prefetch.start)
    }

    /// Whether bytes of the first prefetched range have come.
    pub(super) fn first_has_begun(&mut self) -> bool {
        self.prefetches.front_mut().is_some_and(Prefetch::has_begun)
    }

    /// Removes the first prefetched range for the reader.
    pub(super) fn take_first(&mut self) -> Option<Prefetch> {
        self.prefetches.pop_front()
    }

    /// Opens no more connections than there are now: the origin has refused an additional one.
    pub(super) fn cap_connections(&mut self) {
        let open = self.open_connections(true);
        self.controller.cap(open, Instant::now());
    }

    fn open_connections(&self, is_receiving: bool) -> usize {
        let prefetching = self
            .prefetches
            .iter()
            .filter(|prefetch| !prefetch.is_finished());
        prefetching.count() + usize::from(is_receiving)
    }

    /// Starts a prefetch; returns false at the end of the file or if memory or connections are exhausted.
    fn prefetch(&mut self, head: &Head, start: u64) -> bool {
        let total = head.identity.total.unwrap_or_default();
        let end = total.min(start + self.range_bytes);
        let mebibytes = u32::try_from(self.range_bytes.div_ceil(MEBIBYTE)).unwrap_or(u32::MAX);
        if start >= end {
            return false;
        }
        let memory = Arc::clone(&self.fetcher.prefetch_memory).try_acquire_many_owned(mebibytes);
        let permit = self.fetcher.connections.try_acquire(&self.final_target.url);
        let (Ok(memory), Some(permit)) = (memory, permit) else {
            return false;
        };
        self.prefetches.push_back(Prefetch::start(PrefetchRequest {
            fetcher: self.fetcher.clone(),
            target: self.final_target.clone(),
            identity: head.identity.clone(),
            start,
            end,
            permit,
            memory,
            received: Arc::clone(&self.received),
        }));
        true
    }
}

/// Returns the size of a range for a total rate in bytes per second.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "clamped to a few mebibytes"
)]
fn range_bytes(rate: f64, connections: usize) -> u64 {
    let bytes = (rate / connections as f64 * RANGE_SECONDS) as u64;
    bytes.clamp(MIN_RANGE_BYTES, MAX_RANGE_BYTES)
}
