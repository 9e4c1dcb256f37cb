//! Deletes the objects that nothing refers to: from storage first, from the table after.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use media_database::{
    blob_repository::{BlobRepository, Deletions},
    entities::blob,
};
use media_domain::blob::BlobKey;
use media_storage::{BlobStore, StorageError};
use sea_orm::DbErr;
use tokio::time::{Instant, timeout};

/// The time after which one turn of the collector begins no more deletions.
const TURN_LIMIT: Duration = Duration::from_secs(45);
/// The number of objects that are deleted at once.
const CONCURRENT_DELETIONS: usize = 16;
/// The longest that the deletion of one object may take.
const DELETION_LIMIT: Duration = Duration::from_secs(30);

/// A failure that ended a turn of the collector early. The next turn continues.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// The tables could not be read or written.
    #[error(transparent)]
    Database(#[from] DbErr),
    /// An object could not be deleted.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Runs one turn: abandons expired blobs, then deletes the garbage that is due. Returns the number of blobs it dealt
/// with; as many as [`COLLECT_BATCH`](media_database::blob_repository::COLLECT_BATCH) mean that there may be more.
/// Safe to run in several programs at once.
pub async fn collect(
    blobs: &BlobRepository,
    store: &Arc<dyn BlobStore>,
) -> Result<u64, CollectError> {
    // A row that fails there, or here, keeps no other from being collected.
    let abandoned = blobs.abandon_expired().await;
    let due = blobs.find_garbage().await?;
    let started = Instant::now();
    let mut collected = 0;
    let mut result = Ok(());
    for garbage in due.chunks(CONCURRENT_DELETIONS) {
        let (deletions, failure) = delete_objects(blobs, garbage, store).await;
        collected += blobs.record_deletions(deletions).await?;
        // An unavailable store would fail for the rest, too.
        let is_unavailable = matches!(failure, Some(StorageError::Unavailable(_)));
        result = result.and(failure.map_or(Ok(()), Err));
        if is_unavailable || started.elapsed() > TURN_LIMIT {
            break;
        }
    }
    abandoned?;
    result?;
    Ok(collected)
}

/// Deletes the objects of some garbage. Returns the first failure beside the result.
async fn delete_objects(
    blobs: &BlobRepository,
    garbage: &[blob::Model],
    store: &Arc<dyn BlobStore>,
) -> (Deletions, Option<StorageError>) {
    let deletions = garbage.iter().map(|blob| {
        // Before the deletion: a writer may write until the time of the recheck, and the deletion may take long.
        let needs_recheck = blobs.needs_recheck(blob);
        async move {
            let key = BlobKey::from_stored(&blob.storage_key);
            let deleted = timeout(DELETION_LIMIT, store.delete(&key)).await;
            let slow = || StorageError::Unavailable("an object is not deleted in time".to_owned());
            (blob, needs_recheck, deleted.unwrap_or_else(|_| Err(slow())))
        }
    });
    let mut result = Deletions::default();
    let mut failure = None;
    for (blob, needs_recheck, deleted) in join_all(deletions).await {
        match deleted {
            Ok(()) if needs_recheck => result.recheck.push(blob.id),
            Ok(()) => result.done.push(blob.id),
            Err(error) => {
                result.failed.push(blob.id);
                failure = failure.or(Some(error));
            }
        }
    }
    (result, failure)
}
