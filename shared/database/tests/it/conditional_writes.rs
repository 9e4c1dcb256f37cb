//! Preconditions are evaluated in the transaction of the write: of several concurrent writers with the same
//! precondition, one succeeds.

use futures_util::future::join_all;
use media_database::{
    Database,
    media_repository::{NewMedia, PublishError},
};
use media_domain::{blob::BlobOwner, media::WritePrecondition};

use media_testkit::{
    on_every_database,
    repositories::{Repositories, new_media, path},
};

on_every_database!(
    one_of_many_concurrent_creations_succeeds,
    one_of_many_concurrent_replacements_succeeds,
);

const WRITERS: u8 = 8;

async fn staged(repositories: &Repositories, number: u8) -> NewMedia {
    let blob = repositories
        .blobs
        .stage(BlobOwner::Upload, None)
        .await
        .unwrap();
    NewMedia {
        sha256: media_domain::media::Sha256::from_bytes([number; 32]),
        ..new_media(path("r"), blob.id)
    }
}

/// Publishes [`WRITERS`] media concurrently at one path with one precondition. Returns the digests of those that were
/// recorded.
async fn race(
    repositories: &Repositories,
    first: u8,
    condition: &WritePrecondition,
) -> Vec<String> {
    let mut writers = Vec::new();
    for number in first..first + WRITERS {
        let new = staged(repositories, number).await;
        let (medias, condition) = (repositories.medias.clone(), condition.clone());
        writers.push(tokio::spawn(async move {
            medias.publish_if(new, condition).await
        }));
    }
    let mut recorded = Vec::new();
    for published in join_all(writers).await {
        match published.unwrap() {
            Ok(media) => recorded.push(media.sha256),
            Err(PublishError::PreconditionFailed(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
    recorded
}

async fn current_digest(repositories: &Repositories) -> String {
    let media = repositories.medias.find_in(&path("r"), None).await.unwrap();
    media.unwrap().sha256
}

async fn one_of_many_concurrent_creations_succeeds(database: Database) {
    let repositories = Repositories::open(&database);
    let is_free = WritePrecondition::new(None, Some(b"*".to_vec()));
    let recorded = race(&repositories, 1, &is_free).await;
    assert_eq!(recorded, [current_digest(&repositories).await]);
}

async fn one_of_many_concurrent_replacements_succeeds(database: Database) {
    let repositories = Repositories::open(&database);
    let first = staged(&repositories, 100).await;
    repositories.medias.publish(first).await.unwrap();
    let current = format!("\"{}\"", current_digest(&repositories).await);
    let is_current = WritePrecondition::new(Some(current.into_bytes()), None);
    let recorded = race(&repositories, 1, &is_current).await;
    assert_eq!(recorded, [current_digest(&repositories).await]);
}
