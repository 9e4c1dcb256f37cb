//! Media are looked up while they are written: who was told of a write sees it.

use std::sync::atomic::{AtomicI64, Ordering};

use media_domain::{permissions::ProjectSelector, blob::BlobOwner, caller::Caller, ids::WorkerId};
use media_database::{Database, media_repository::{Found, NewMedia}};

use crate::ledgers::{KNOWN, Repositories, import_to, new_media, on_every_database, path};

on_every_database!(what_was_written_is_found);

async fn size_of(ledgers: &Repositories, resource: &str) -> Option<i64> {
    let sight = Caller::Unrestricted.media_read_scope();
    let (medias, path) = (&ledgers.medias, path(resource));
    let found = medias.find(&path, &sight, &ProjectSelector::Any).await;
    match found.unwrap() {
        Found::One(media) => Some(media.size),
        Found::Nothing => None,
        Found::Several => panic!("there is one"),
    }
}

async fn upload(ledgers: &Repositories, resource: &str, size: u64) {
    let blob = ledgers.blobs.stage(BlobOwner::Upload, None).await.unwrap();
    let media = new_media(path(resource), blob.id);
    let media = NewMedia { size, ..media };
    ledgers.medias.publish(media).await.unwrap();
}

async fn import(ledgers: &Repositories, resource: &str, size: u64) {
    ledgers
        .jobs
        .create(import_to(&path(resource)))
        .await
        .unwrap();
    let claimed = ledgers.jobs.claim(WorkerId::generate(), &KNOWN).await;
    let lease = claimed.unwrap().unwrap().lease;
    let media = ledgers.staged_media(lease, path(resource)).await;
    let media = NewMedia { size, ..media };
    ledgers.jobs.complete(lease, media).await.unwrap();
}

async fn what_was_written_is_found(database: Database) {
    const LAST: i64 = 60;
    let ledgers = Repositories::open(&database);
    assert_eq!(size_of(&ledgers, "r").await, None);
    assert_eq!(size_of(&ledgers, "other").await, None);

    let written = AtomicI64::new(0);
    let write = async {
        for size in 1..=LAST {
            let bytes = size.unsigned_abs();
            if size % 2 == 0 {
                import(&ledgers, "r", bytes).await;
            } else {
                upload(&ledgers, "r", bytes).await;
            }
            written.store(size, Ordering::SeqCst);
        }
    };
    let read = async || {
        loop {
            let before = written.load(Ordering::SeqCst);
            let found = size_of(&ledgers, "r").await.unwrap_or_default();
            assert!(found >= before, "{found} after {before}");
            if before == LAST {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::join!(write, read(), read(), read());

    assert_eq!(size_of(&ledgers, "other").await, None);
    assert!(ledgers.delete("r").await);
    assert_eq!(size_of(&ledgers, "r").await, None);
}
