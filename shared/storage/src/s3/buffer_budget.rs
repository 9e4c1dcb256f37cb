//! The memory for bytes that are sent to S3.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::MEBIBYTE;
use crate::StorageError;

/// The part of the budget that suffices while parts are filled and sent at network speed, in mebibytes.
const USUAL_MEBIBYTES: u32 = 32;
/// The time that a writer waits for a usual share before it may also take one from the reserve.
const USUAL_SHARE_TIMEOUT: Duration = Duration::from_secs(3);
/// The time that a writer waits for any share: all of them may be held by writers whose parts fill slowly.
const SHARE_TIMEOUT: Duration = Duration::from_mins(1);

/// The memory for parts that are being filled or uploaded. The usual share suffices in most cases: writers that wait
/// for a moment do not become slower. The reserve is used when parts fill so slowly that other writers would stall.
#[derive(Clone, Debug)]
pub(super) struct BufferBudget {
    /// The largest share of one part, in mebibytes.
    mebibytes: u32,
    usual: Arc<Semaphore>,
    reserve: Arc<Semaphore>,
}

impl BufferBudget {
    /// A budget of `mebibytes`. Memory beyond the usual share is the reserve.
    pub(super) fn new(mebibytes: u32) -> Self {
        // A part that does not fit into the reserve has to fit into the usual share.
        let usual = if mebibytes < 2 * USUAL_MEBIBYTES {
            mebibytes
        } else {
            USUAL_MEBIBYTES
        };
        let semaphore = |mebibytes: u32| Arc::new(Semaphore::new(mebibytes as usize));
        Self {
            mebibytes: usual.max(mebibytes - usual),
            usual: semaphore(usual),
            reserve: semaphore(mebibytes - usual),
        }
    }

    /// Waits for the share of one part.
    pub(super) async fn share(
        &self,
        part_bytes: usize,
    ) -> Result<OwnedSemaphorePermit, StorageError> {
        let mebibytes = u32::try_from(part_bytes as u64 / MEBIBYTE).unwrap_or(u32::MAX);
        let share = mebibytes.min(self.mebibytes);
        // A semaphore with fewer permits than the share never grants it; the other one then does.
        let mut usual = std::pin::pin!(Arc::clone(&self.usual).acquire_many_owned(share));
        let taken = async {
            if let Ok(taken) = timeout(USUAL_SHARE_TIMEOUT, &mut usual).await {
                return taken;
            }
            let reserve = Arc::clone(&self.reserve).acquire_many_owned(share);
            tokio::select! {
                taken = usual => taken,
                taken = reserve => taken,
            }
        };
        match timeout(SHARE_TIMEOUT, taken).await {
            // The semaphores are never closed.
            Ok(share) => Ok(share.map_err(std::io::Error::other)?),
            Err(_) => Err(StorageError::Unavailable(
                "all of MEDIA_S3_BUFFER_BYTES is in use".to_owned(),
            )),
        }
    }
}
