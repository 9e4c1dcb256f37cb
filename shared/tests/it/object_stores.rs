//! Stores that differ from S3: an object store of each kind keeps what it is given.

use std::sync::Arc;

use bytes::Bytes;
use media_shared::{
    blob_store::{BlobStore, s3::S3Store},
    config::S3Location,
};
use media_testkit::{
    bytes::pattern,
    seaweed::{self, BUCKET, Seaweed},
    store_proxy::{Quirk, StoreProxy},
};

use crate::blob_store::{BUFFER, anything, key, read, unique_prefix, write};

/// Three parts.
const LARGE: usize = 20 * 1024 * 1024;
const SMALL: usize = 20_000;

struct Kept {
    refused: usize,
    left: Vec<String>,
}

/// Writes, reads, gives up and deletes small and large objects through a proxy.
async fn use_store(quirk: Quirk) -> Kept {
    let seaweed = seaweed::shared().await;
    let proxy = StoreProxy::start(&seaweed.endpoint(), quirk).await;
    let prefix = unique_prefix();
    let location = S3Location {
        bucket: BUCKET.to_owned(),
        prefix: prefix.clone(),
        path_style: None,
        buffer: BUFFER,
    };
    let client = Seaweed::client_at(&proxy.endpoint());
    let store: Arc<dyn BlobStore> = Arc::new(S3Store::with_client(client, &location));
    store.check().await.unwrap();
    for size in [0, SMALL, LARGE] {
        let (key, bytes) = (key(), pattern(size));
        write(&store, &key, &bytes, 300_000).await;
        let whole = read(&store, &key, 0..size as u64).await.unwrap();
        assert!(whole == bytes, "{quirk:?}: {size}");
        store.delete(&key).await.unwrap();

        let mut writer = store.create(&key, anything()).await.unwrap();
        writer.write(Bytes::from(bytes)).await.unwrap();
        writer.abort().await.unwrap();
    }
    Kept {
        refused: proxy.refused(),
        left: seaweed.leftovers(&prefix).await,
    }
}

async fn check(quirk: Quirk, refusals: std::ops::RangeInclusive<usize>) {
    let kept = use_store(quirk).await;
    assert_eq!(kept.left, [""; 0], "{quirk:?}");
    assert!(
        refusals.contains(&kept.refused),
        "{quirk:?}: {}",
        kept.refused
    );
}

#[tokio::test]
async fn a_store_that_refuses_checksums_gets_content_md5_instead() {
    for (status, code) in [(400, "InvalidArgument"), (501, "NotImplemented")] {
        // Those that were sent before the first refusal came back.
        check(Quirk::NoChecksums(status, code), 1..=4).await;
    }
}

#[tokio::test]
async fn a_store_that_does_not_list_uploads_is_used() {
    check(Quirk::NoListMultipartUploads, 1..=100).await;
}

#[tokio::test]
async fn a_store_that_does_not_list_parts_is_used() {
    check(Quirk::NoListParts, 0..=100).await;
}

#[tokio::test]
async fn entity_tags_need_not_be_md5() {
    check(Quirk::OpaqueTags, 0..=0).await;
}

#[tokio::test]
async fn parts_are_of_one_size() {
    check(Quirk::PartsOfOneSize, 0..=0).await;
}

#[tokio::test]
async fn a_store_that_asks_to_slow_down_is_asked_again() {
    check(Quirk::SlowDown, 1..=1000).await;
}

#[tokio::test]
async fn a_store_that_closes_idle_connections_is_connected_to_anew() {
    check(Quirk::ClosesIdleConnections, 0..=0).await;
}
