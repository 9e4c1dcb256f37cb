//! The blobs that the collector deletes, and those that it must keep.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use bytes::Bytes;
use media_database::{
    Database,
    blob_repository::BlobRepository,
    entities::blob::{self, BlobStatus},
};
use media_domain::{
    blob::{BlobKey, BlobOwner, Checkpoint, ResumeLocation, ResumePoint, StagedBlob},
    ids::{BlobId, WorkerId},
    job::{Failure, FailureCode},
    media::Sha256,
};
use media_ingest::garbage_collector::collect;
use media_ingest::{Expectation, Ingest, IngestError};
use media_storage::{BlobStore, SizeHint, StorageError, disk::DiskStore};
use sea_orm::EntityTrait as _;
use tempfile::TempDir;

use media_testkit::{
    on_every_database,
    repositories::{KNOWN, LEASE, Repositories, import_to, new_media, path},
};

/// The time after which garbage is deleted a second time and its row is removed.
const RECHECK_AFTER: Duration = Duration::from_mins(3);

on_every_database!(
    live_blobs_are_kept_and_replaced_ones_are_deleted,
    the_blob_of_an_ended_attempt_is_deleted_after_the_grace_period,
    an_abandoned_blob_is_deleted_again_after_a_while,
    a_checkpoint_is_resumed_by_the_next_attempt_and_deleted_with_the_job,
    an_upload_keeps_its_blob_while_it_renews_it,
    an_ingest_stores_only_bytes_that_meet_the_expectation,
);

async fn store() -> (TempDir, Arc<dyn BlobStore>) {
    let directory = tempfile::tempdir().unwrap();
    let store = DiskStore::open(directory.path().into()).await.unwrap();
    (directory, Arc::new(store))
}

async fn blobs(database: &Database) -> usize {
    blob::Entity::find()
        .all(database.reader())
        .await
        .unwrap()
        .len()
}

fn of_upload(id: BlobId) -> StagedBlob {
    StagedBlob {
        id,
        key: BlobKey::of(id),
        owner: BlobOwner::Upload,
        project: None,
        reserved: 0,
    }
}

fn anything() -> Expectation {
    Expectation {
        max_bytes: 1000,
        size: None,
        sha256: None,
        sha512: None,
        md5: None,
    }
}

async fn stored(
    repositories: &Repositories,
    store: &Arc<dyn BlobStore>,
    owner: BlobOwner,
) -> media_domain::blob::StoredBlob {
    let mut ingest = Ingest::open(&repositories.blobs, store, (owner, None), anything(), None)
        .await
        .unwrap();
    ingest.write(Bytes::from_static(b"some")).await.unwrap();
    ingest.finish().await.unwrap()
}

async fn exists(store: &Arc<dyn BlobStore>, id: media_domain::ids::BlobId) -> bool {
    match store.read(&BlobKey::of(id), 0..4).await {
        Ok(_) => true,
        Err(StorageError::NotFound) => false,
        Err(error) => panic!("{error}"),
    }
}

async fn live_blobs_are_kept_and_replaced_ones_are_deleted(database: Database) {
    let (repositories, (_directory, store)) = (Repositories::open(&database), store().await);
    let first = stored(&repositories, &store, BlobOwner::Upload).await;
    repositories
        .medias
        .publish(new_media(path("r"), first.blob_id))
        .await
        .unwrap();
    repositories.clock.advance(Duration::from_hours(1));
    assert_eq!(collect(&repositories.blobs, &store).await.unwrap(), 0);
    assert!(exists(&store, first.blob_id).await);

    let second = stored(&repositories, &store, BlobOwner::Upload).await;
    repositories
        .medias
        .publish(new_media(path("r"), second.blob_id))
        .await
        .unwrap();
    assert_eq!(collect(&repositories.blobs, &store).await.unwrap(), 1);
    assert!(!exists(&store, first.blob_id).await);
    assert!(exists(&store, second.blob_id).await);

    assert!(repositories.delete("r").await);
    assert_eq!(collect(&repositories.blobs, &store).await.unwrap(), 1);
    assert!(!exists(&store, second.blob_id).await);
    assert_eq!(blobs(&database).await, 0);
}

async fn the_blob_of_an_ended_attempt_is_deleted_after_the_grace_period(database: Database) {
    let (repositories, (_directory, store)) = (Repositories::open(&database), store().await);
    repositories
        .jobs
        .create(import_to(&path("r")))
        .await
        .unwrap();
    let claimed = repositories
        .jobs
        .claim(WorkerId::generate(), &KNOWN)
        .await
        .unwrap()
        .unwrap();
    let stored_blob = stored(&repositories, &store, BlobOwner::Attempt(claimed.lease)).await;
    repositories.clock.advance(LEASE * 2);
    collect(&repositories.blobs, &store).await.unwrap();
    assert!(
        exists(&store, stored_blob.blob_id).await,
        "the job was not rescued yet"
    );

    repositories.jobs.rescue_expired().await.unwrap();
    assert_eq!(
        collect(&repositories.blobs, &store).await.unwrap(),
        0,
        "the writer may be suspended"
    );
    repositories.clock.advance(LEASE);
    assert_eq!(collect(&repositories.blobs, &store).await.unwrap(), 1);
    assert!(!exists(&store, stored_blob.blob_id).await);
}

async fn an_abandoned_blob_is_deleted_again_after_a_while(database: Database) {
    let (repositories, (_directory, store)) = (Repositories::open(&database), store().await);
    let stored_blob = stored(&repositories, &store, BlobOwner::Upload).await;
    let abandoned = repositories
        .blobs
        .abandon(&of_upload(stored_blob.blob_id))
        .await;
    assert!(abandoned.unwrap());
    assert_eq!(collect(&repositories.blobs, &store).await.unwrap(), 1);
    assert!(!exists(&store, stored_blob.blob_id).await);

    // A delayed write request reaches the store after the deletion.
    let key = BlobKey::of(stored_blob.blob_id);
    let size_hint = SizeHint {
        announced: None,
        max: 4,
    };
    let mut late = store.create(&key, size_hint).await.unwrap();
    late.write(Bytes::from_static(b"late")).await.unwrap();
    late.finish().await.unwrap();
    assert_eq!(
        collect(&repositories.blobs, &store).await.unwrap(),
        0,
        "not yet"
    );
    repositories.clock.advance(RECHECK_AFTER);
    assert_eq!(collect(&repositories.blobs, &store).await.unwrap(), 1);
    assert!(!exists(&store, stored_blob.blob_id).await);
    assert_eq!(blobs(&database).await, 0);
}

async fn an_upload_keeps_its_blob_while_it_renews_it(database: Database) {
    let (repositories, (_directory, store)) = (Repositories::open(&database), store().await);
    let stored_blob = stored(&repositories, &store, BlobOwner::Upload).await;
    for _ in 0..10 {
        repositories.clock.advance(BlobRepository::renew_every());
        assert!(repositories.blobs.renew(stored_blob.blob_id).await.unwrap());
        assert_eq!(collect(&repositories.blobs, &store).await.unwrap(), 0);
    }
    repositories
        .clock
        .advance(BlobRepository::renew_every() * 5);
    collect(&repositories.blobs, &store).await.unwrap();
    let lost = repositories
        .medias
        .publish(new_media(path("r"), stored_blob.blob_id))
        .await;
    assert!(lost.is_err(), "an abandoned blob cannot become live");
    repositories.clock.advance(LEASE);
    assert_eq!(collect(&repositories.blobs, &store).await.unwrap(), 1);
}

async fn an_ingest_stores_only_bytes_that_meet_the_expectation(database: Database) {
    let (repositories, (_directory, store)) = (Repositories::open(&database), store().await);
    let digest = "a6b46dd0d1ae5e86cbc8f37e75ceeb6760230c1ca4ffbcb0c97b96dd7d9c464b";
    let digest = Sha256::from_hex(digest).unwrap();
    let wrong = Sha256::from_bytes([0; 32]);
    let cases = [
        (
            Expectation {
                size: Some(4),
                sha256: Some(digest),
                ..anything()
            },
            true,
        ),
        (
            Expectation {
                size: Some(3),
                ..anything()
            },
            false,
        ),
        (
            Expectation {
                size: Some(5),
                ..anything()
            },
            false,
        ),
        (
            Expectation {
                max_bytes: 3,
                ..anything()
            },
            false,
        ),
        (
            Expectation {
                sha256: Some(wrong),
                ..anything()
            },
            false,
        ),
    ];
    for (expectation, is_stored) in cases {
        let ingest = Ingest::open(
            &repositories.blobs,
            &store,
            (BlobOwner::Upload, None),
            expectation,
            None,
        )
        .await;
        let mut ingest = ingest.unwrap();
        let id = ingest.blob().id;
        let result = match ingest.write(Bytes::from_static(b"some")).await {
            Ok(()) => ingest.finish().await,
            Err(error) => {
                ingest.abandon().await;
                Err(error)
            }
        };
        assert_eq!(result.is_ok(), is_stored, "{expectation:?}: {result:?}");
        assert_eq!(exists(&store, id).await, is_stored, "{expectation:?}");
        if let Err(IngestError::ChecksumMismatch { actual, .. }) = result {
            assert_ne!(actual, wrong.to_string());
        }
    }
    repositories.clock.advance(Duration::from_hours(1));
    collect(&repositories.blobs, &store).await.unwrap();
    repositories.clock.advance(RECHECK_AFTER);
    collect(&repositories.blobs, &store).await.unwrap();
    assert_eq!(blobs(&database).await, 0);
}

/// A checkpoint of three bytes.
fn checkpoint() -> Checkpoint {
    Checkpoint {
        prefix: ResumePoint {
            bytes: 3,
            location: ResumeLocation::Disk,
        },
        sha256_state: String::new(),
        more_states: BTreeMap::new(),
        origin: serde_json::json!({ "validator": "v" }),
    }
}

async fn a_checkpoint_is_resumed_by_the_next_attempt_and_deleted_with_the_job(database: Database) {
    let (repositories, (_directory, store)) = (Repositories::open(&database), store().await);
    let blobs = &repositories.blobs;
    repositories
        .jobs
        .create(import_to(&path("r")))
        .await
        .unwrap();
    let claim = async || {
        let claimed = repositories.jobs.claim(WorkerId::generate(), &KNOWN).await;
        claimed.unwrap().unwrap().lease
    };
    let first = claim().await;
    let bare = blobs.stage(BlobOwner::Attempt(first), None).await.unwrap();
    let left = blobs.stage(BlobOwner::Attempt(first), None).await.unwrap();
    assert!(blobs.save_checkpoint(&left, &checkpoint()).await.unwrap());
    blobs.abandon_attempt(first).await.unwrap();
    repositories.jobs.release(first).await.unwrap();
    repositories.clock.advance(Duration::from_hours(1));
    collect(blobs, &store).await.unwrap();
    assert_eq!(
        status_of(&database, left.id).await,
        Some(BlobStatus::Staged)
    );
    assert_ne!(
        status_of(&database, bare.id).await,
        Some(BlobStatus::Staged)
    );

    let second = claim().await;
    let (taken, found) = blobs
        .resume_checkpoint(second)
        .await
        .unwrap()
        .expect("the checkpoint was saved");
    assert_eq!((taken.id, found), (left.id, checkpoint()));
    // The previous attempt can no longer change the blob.
    assert!(!blobs.save_checkpoint(&left, &checkpoint()).await.unwrap());
    assert!(!blobs.touch(&left).await.unwrap());
    assert!(!blobs.abandon(&left).await.unwrap());
    blobs.abandon_stale(&left).await.unwrap();
    assert!(blobs.resume_checkpoint(first).await.unwrap().is_none());
    assert!(blobs.touch(&taken).await.unwrap());
    repositories.clock.advance(Duration::from_hours(1));
    repositories.jobs.heartbeat(&[]).await.unwrap();
    collect(blobs, &store).await.unwrap();
    assert_eq!(
        status_of(&database, left.id).await,
        Some(BlobStatus::Staged)
    );

    let gone = Failure::new(FailureCode::OriginGone, "it was removed");
    repositories.jobs.fail(second, gone).await.unwrap();
    collect(blobs, &store).await.unwrap();
    assert_eq!(
        status_of(&database, left.id).await,
        Some(BlobStatus::Garbage)
    );
}

async fn status_of(database: &Database, id: BlobId) -> Option<BlobStatus> {
    let found = blob::Entity::find_by_id(id).one(database.reader()).await;
    found.unwrap().map(|blob| blob.status)
}
