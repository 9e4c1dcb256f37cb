//! A limit on the bytes of a form that are not its file. The form's reader holds in memory whatever
//! comes before a boundary or the end of a part's headers, however long that is.

use std::{
    error::Error,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};

/// What the frame of a part and a field may take, and what the frame of a form may add to its file.
pub(super) const MAX_FRAME_BYTES: u64 = 64 * 1024;

/// How many bytes may still come.
#[derive(Clone, Debug)]
pub(super) struct FrameBudget(Arc<AtomicU64>);

/// The budget is spent.
#[derive(Debug)]
struct Spent;

impl std::fmt::Display for Spent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("too many bytes outside the fields of the form")
    }
}

impl Error for Spent {}

impl Default for FrameBudget {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(MAX_FRAME_BYTES)))
    }
}

impl FrameBudget {
    /// Another part may come.
    pub(super) fn renew(&self) {
        self.0.store(MAX_FRAME_BYTES, Ordering::Relaxed);
    }

    /// The file may come, which has a limit of its own.
    pub(super) fn lift(&self) {
        self.0.store(u64::MAX, Ordering::Relaxed);
    }

    /// The bytes of a form, for as long as the budget lasts. What comes in one piece with the end of
    /// a part counts for the next: a piece is no larger than what the server reads at once.
    pub(super) fn limit<E>(
        &self,
        chunks: impl Stream<Item = Result<Bytes, E>> + Send + 'static,
    ) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static
    where
        E: Into<io::Error> + 'static,
    {
        let left = Arc::clone(&self.0);
        chunks.map(move |chunk| {
            let chunk = chunk.map_err(Into::into)?;
            let before = left.load(Ordering::Relaxed);
            if before == 0 {
                return Err(io::Error::other(Spent));
            }
            if before != u64::MAX {
                left.store(before.saturating_sub(chunk.len() as u64), Ordering::Relaxed);
            }
            Ok(chunk)
        })
    }
}

/// Whether an error came of a spent budget.
pub(super) fn is_spent(error: &(dyn Error + 'static)) -> bool {
    error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
        .is_some_and(<dyn Error + Send + Sync>::is::<Spent>)
}
