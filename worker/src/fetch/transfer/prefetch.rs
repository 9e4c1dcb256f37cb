//! Fetches ranges ahead of the reader, each over a connection of its own.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio_util::task::AbortOnDropHandle;
use tracing::Instrument as _;

use crate::fetch::{
    answer::FetchError,
    content_identity::{ByteRange, ContentIdentity},
    fetcher::Fetcher,
    host_limits::ConnectionPermit,
    target::Target,
};

/// Size of the blocks that are passed to the reader. Bytes are copied into them, so that no small piece keeps
/// a large buffer alive.
const BLOCK_BYTES: usize = 64 * 1024;

/// A range that is being fetched. Dropping it closes its connection.
pub(super) struct Prefetch {
    pub(super) start: u64,
    pub(super) end: u64,
    blocks: mpsc::Receiver<Result<Bytes, FetchError>>,
    /// The first block, if [`Prefetch::has_begun`] has received it.
    first: Option<Result<Bytes, FetchError>>,
    task: AbortOnDropHandle<()>,
    _memory: OwnedSemaphorePermit,
}

/// The parameters of a prefetch.
pub(super) struct PrefetchRequest {
    pub(super) fetcher: Fetcher,
    pub(super) target: Target,
    pub(super) identity: ContentIdentity,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) permit: ConnectionPermit,
    pub(super) memory: OwnedSemaphorePermit,
    /// Counts the bytes received over all connections.
    pub(super) received: Arc<AtomicU64>,
}

impl Prefetch {
    /// Starts to fetch a range.
    pub(super) fn start(request: PrefetchRequest) -> Self {
        let PrefetchRequest {
            fetcher,
            target,
            identity,
            start,
            end,
            permit,
            memory,
            received,
        } = request;
        // The channel holds the whole range, for which memory was reserved: the connection never waits for the
        // reader.
        let capacity = usize::try_from(end - start).unwrap_or(BLOCK_BYTES) / BLOCK_BYTES + 2;
        let (sender, blocks) = mpsc::channel(capacity);
        let range = ByteRange {
            start,
            end: Some(end),
        };
        let fetching = async move {
            let fetched = fetch(
                &fetcher, &target, &identity, range, permit, &sender, &received,
            );
            if let Err(error) = fetched.await {
                let error = match error {
                    // Drops the answer, and so its connection.
                    FetchError::Changed(_) => FetchError::Changed(None),
                    failed @ FetchError::Failed(_) => failed,
                };
                // Fails only if the reader has dropped the prefetch.
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

    /// Whether bytes have come, so that the reader can switch to this connection.
    pub(super) fn has_begun(&mut self) -> bool {
        if self.first.is_none() {
            self.first = self.blocks.try_recv().ok();
        }
        matches!(self.first, Some(Ok(_)))
    }

    /// Returns the next bytes, or nothing at the end of the range or where it broke off.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FetchError> {
        if let Some(first) = self.first.take() {
            return first.map(Some);
        }
        self.blocks.recv().await.transpose()
    }

    /// Whether the connection is closed.
    pub(super) fn is_finished(&self) -> bool {
        self.task.is_finished()
    }
}

async fn fetch(
    fetcher: &Fetcher,
    target: &Target,
    identity: &ContentIdentity,
    range: ByteRange,
    permit: ConnectionPermit,
    sender: &mpsc::Sender<Result<Bytes, FetchError>>,
    received: &AtomicU64,
) -> Result<(), FetchError> {
    let answer = fetcher.open_range(target, identity, range, Some(permit));
    let mut body = answer.await?.body;
    let mut block = BytesMut::new();
    let mut remaining = range.end.map_or(u64::MAX, |end| end - range.start);
    loop {
        let bytes = match body.next().await {
            Ok(Some(bytes)) => bytes,
            ended => {
                // The received bytes are valid even after an error.
                if !block.is_empty() {
                    let _ = sender.send(Ok(block.freeze())).await;
                }
                return ended.map(drop).map_err(FetchError::from);
            }
        };
        remaining = match remaining.checked_sub(bytes.len() as u64) {
            Some(remaining) => remaining,
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
