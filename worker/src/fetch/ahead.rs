//! Parts of the bytes that are fetched ahead of the reader, each over a connection of its own.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use super::{FetchError, Fetcher, Identity, Part, Target, origin_slots::Slot};

/// The unit in which bytes are handed on; copied, so that no small piece keeps a large buffer.
const BLOCK_BYTES: usize = 64 * 1024;

/// A part that is on its way. Dropping it ends that.
pub(super) struct Ahead {
    pub(super) start: u64,
    pub(super) end: u64,
    blocks: mpsc::Receiver<Result<Bytes, FetchError>>,
    /// What was looked at before its turn.
    first: Option<Result<Bytes, FetchError>>,
    task: AbortOnDropHandle<()>,
    /// As long as its bytes are held.
    _memory: OwnedSemaphorePermit,
}

/// What it takes to fetch a part.
pub(super) struct Order {
    pub(super) fetcher: Fetcher,
    pub(super) target: Target,
    pub(super) identity: Identity,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) slot: Slot,
    pub(super) memory: OwnedSemaphorePermit,
    /// Counts the bytes of all connections.
    pub(super) received: Arc<AtomicU64>,
}

impl Ahead {
    /// Begins to fetch a part.
    pub(super) fn begin(order: Order) -> Self {
        let Order {
            fetcher,
            target,
            identity,
            start,
            end,
            slot,
            memory,
            received,
        } = order;
        // Room for all of them: an origin is never held up, and memory was set aside.
        let room = usize::try_from(end - start).unwrap_or(BLOCK_BYTES) / BLOCK_BYTES + 2;
        let (sender, blocks) = mpsc::channel(room);
        let part = Part {
            start,
            end: Some(end),
        };
        let fetching = async move {
            let fetched = fetch(&fetcher, &target, &identity, part, slot, &sender, &received);
            if let Err(error) = fetched.await {
                let error = match error {
                    // With it goes the connection.
                    FetchError::Changed(_) => FetchError::Changed(None),
                    failed @ FetchError::Failed(_) => failed,
                };
                // Nobody listens any more, or hears of it.
                let _ = sender.send(Err(error)).await;
            }
        };
        Self {
            start,
            end,
            blocks,
            first: None,
            task: AbortOnDropHandle::new(tokio::spawn(fetching.in_current_span())),
            _memory: memory,
        }
    }

    /// Whether bytes have come, so that it can be read in place of a connection that is good.
    pub(super) fn has_begun(&mut self) -> bool {
        if self.first.is_none() {
            self.first = self.blocks.try_recv().ok();
        }
        matches!(self.first, Some(Ok(_)))
    }

    /// The next bytes, or nothing at the end of the part or where it broke off.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        if let Some(first) = self.first.take() {
            return first.map(Some);
        }
        self.blocks.recv().await.transpose()
    }

    /// Whether its connection is done.
    pub(super) fn is_fetched(&self) -> bool {
        self.task.is_finished()
    }
}

async fn fetch(
    fetcher: &Fetcher,
    target: &Target,
    identity: &Identity,
    part: Part,
    slot: Slot,
    sender: &mpsc::Sender<Result<Bytes, FetchError>>,
    received: &AtomicU64,
) -> Result<(), FetchError> {
    let mut body = fetcher.part(target, identity, part, Some(slot)).await?.body;
    let mut block = BytesMut::new();
    let mut left = part.end.map_or(u64::MAX, |end| end - part.start);
    loop {
        let bytes = match body.next().await {
            Ok(Some(bytes)) => bytes,
            ended => {
                // What has come is good, however it ended.
                if !block.is_empty() {
                    let _ = sender.send(Ok(block.freeze())).await;
                }
                return ended.map(drop).map_err(FetchError::from);
            }
        };
        left = match left.checked_sub(bytes.len() as u64) {
            Some(left) => left,
            None => return Err(FetchError::Changed(None)),
        };
        received.fetch_add(bytes.len() as u64, Ordering::Relaxed);
        let mut rest = &bytes[..];
        while !rest.is_empty() {
            block.reserve(BLOCK_BYTES - block.len());
            let (head, tail) = rest.split_at(rest.len().min(BLOCK_BYTES - block.len()));
            block.extend_from_slice(head);
            rest = tail;
            if block.len() == BLOCK_BYTES && sender.send(Ok(block.split().freeze())).await.is_err()
            {
                return Ok(());
            }
        }
    }
}
