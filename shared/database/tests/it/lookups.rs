//! Lookups during writes: an acknowledged write is visible to every later lookup.

use std::sync::atomic::{AtomicI64, Ordering};

use media_database::{
    Database,
    media_repository::{Found, NewMedia},
};
use media_domain::{blob::BlobOwner, caller::Caller, ids::WorkerId, permissions::ProjectSelector};

use media_testkit::{
    on_every_database,
    repositories::{KNOWN, Repositories, import_to, new_media, path},
};

on_every_database!(an_acknowledged_write_is_found);

async fn size_of(repositories: &Repositories, resource: &str) -> Option<i64> {
    let scope = Caller::Unrestricted.media_read_scope();
    let (medias, path) = (&repositories.medias, path(resource));
    let found = medias.find(&path, &scope, &ProjectSelector::Any).await;
    match found.unwrap() {
        Found::One(media) => Some(media.size),
        Found::Nothing => None,
        Found::Several => panic!("more than one media was found"),
    }
}

async fn upload(repositories: &Repositories, resource: &str, size: u64) {
    let blob = repositories
        .blobs
        .stage(BlobOwner::Upload, None)
        .await
        .unwrap();
    let media = new_media(path(resource), blob.id);
    let media = NewMedia { size, ..media };
    repositories.medias.publish(media).await.unwrap();
}

async fn import(repositories: &Repositories, resource: &str, size: u64) {
    repositories
        .jobs
        .create(import_to(&path(resource)))
        .await
        .unwrap();
    let claimed = repositories.jobs.claim(WorkerId::generate(), &KNOWN).await;
    let lease = claimed.unwrap().unwrap().lease;
    let media = repositories.staged_media(lease, path(resource)).await;
    let media = NewMedia { size, ..media };
    repositories.jobs.complete(lease, media).await.unwrap();
}

async fn an_acknowledged_write_is_found(database: Database) {
    const LAST_SIZE: i64 = 60;
    let repositories = Repositories::open(&database);
    assert_eq!(size_of(&repositories, "r").await, None);
    assert_eq!(size_of(&repositories, "other").await, None);

    let written = AtomicI64::new(0);
    let write = async {
        for size in 1..=LAST_SIZE {
            let bytes = size.unsigned_abs();
            if size % 2 == 0 {
                import(&repositories, "r", bytes).await;
            } else {
                upload(&repositories, "r", bytes).await;
            }
            written.store(size, Ordering::SeqCst);
        }
    };
    let read = async || {
        loop {
            let before = written.load(Ordering::SeqCst);
            let found = size_of(&repositories, "r").await.unwrap_or_default();
            assert!(found >= before, "{found} after {before}");
            if before == LAST_SIZE {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(write, read(), read(), read());

    assert_eq!(size_of(&repositories, "other").await, None);
    assert!(repositories.delete("r").await);
    assert_eq!(size_of(&repositories, "r").await, None);
}
