//! Object stores that deviate from S3: each kind stores and returns objects correctly.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use media_domain::media::Sha256;
use media_storage::{BlobStore, S3Location, s3::S3Store};
use media_testkit::{
    bytes::pattern,
    seaweed::{self, BUCKET, Seaweed},
    store_proxy::{Quirk, StoreProxy},
    wait_until,
};

use media_testkit::blob_stores::{BUFFER, anything, key, read, unique_prefix, write};

/// Three parts.
const LARGE_BYTES: usize = 20 * 1024 * 1024;
const SMALL_BYTES: usize = 20_000;

struct Outcome {
    refused: usize,
    left: Vec<String>,
}

fn open(proxy: &StoreProxy, prefix: &str) -> Arc<dyn BlobStore> {
    let location = S3Location {
        bucket: BUCKET.to_owned(),
        prefix: prefix.to_owned(),
        path_style: None,
        buffer: BUFFER,
    };
    let client = Seaweed::client_at(&proxy.endpoint());
    Arc::new(S3Store::with_client(client, &location))
}

/// Writes, reads, deletes and aborts small and large objects through a proxy.
async fn use_store(quirk: Quirk) -> Outcome {
    let seaweed = seaweed::shared().await;
    let proxy = StoreProxy::start(&seaweed.endpoint(), quirk).await;
    let prefix = unique_prefix();
    let store = open(&proxy, &prefix);
    store.check().await.unwrap();
    for size in [0, SMALL_BYTES, LARGE_BYTES] {
        let (key, bytes) = (key(), pattern(size));
        write(&store, &key, &bytes, 300_000).await;
        let whole = read(&store, &key, 0..size as u64).await.unwrap();
        assert!(whole == bytes, "{quirk:?}: {size}");
        store.delete(&key).await.unwrap();

        let mut writer = store.create(&key, anything()).await.unwrap();
        writer.write(Bytes::from(bytes)).await.unwrap();
        writer.abort().await.unwrap();
        if quirk == Quirk::ClosesIdleConnections {
            // The identifier of an upload can be lost with its connection: the collector aborts such uploads.
            store.delete(&key).await.unwrap();
        }
    }
    Outcome {
        refused: proxy.refused(),
        left: seaweed.leftovers(&prefix).await,
    }
}

async fn check(quirk: Quirk, refusals: std::ops::RangeInclusive<usize>) {
    let outcome = use_store(quirk).await;
    assert_eq!(outcome.left, [""; 0], "{quirk:?}");
    assert!(
        refusals.contains(&outcome.refused),
        "{quirk:?}: {}",
        outcome.refused
    );
}

#[tokio::test]
async fn a_store_that_refuses_checksums_gets_content_md5_instead() {
    for (status, code) in [(400, "InvalidArgument"), (501, "NotImplemented")] {
        // Up to four requests are sent before the first refusal arrives.
        check(Quirk::NoChecksums(status, code), 1..=4).await;
    }
}

#[tokio::test]
async fn a_store_that_cannot_list_uploads_is_usable() {
    check(Quirk::NoListMultipartUploads, 1..=100).await;
}

#[tokio::test]
async fn an_upload_starts_again_if_the_store_cannot_list_parts() {
    let seaweed = seaweed::shared().await;
    let proxy = StoreProxy::start(&seaweed.endpoint(), Quirk::NoListParts).await;
    let store = open(&proxy, &unique_prefix());
    let (key, bytes) = (key(), pattern(LARGE_BYTES));
    let mut writer = store.create(&key, anything()).await.unwrap();
    writer.write(Bytes::from(bytes)).await.unwrap();
    let limit = Duration::from_secs(30);
    let saved = wait_until("a part has arrived", limit, async || {
        writer.checkpoint().await.unwrap()
    })
    .await;
    drop(writer);
    let sha256 = Sha256::from_bytes([0; 32]);
    assert!(store.resume(&key, &saved, sha256).await.unwrap().is_none());
    assert_eq!(proxy.refused(), 1);
    store.delete(&key).await.unwrap();
    check(Quirk::NoListParts, 0..=0).await;
}

#[tokio::test]
async fn entity_tags_need_not_be_md5() {
    check(Quirk::OpaqueTags, 0..=0).await;
}

#[tokio::test]
async fn all_parts_but_the_last_have_the_same_size() {
    check(Quirk::PartsOfOneSize, 0..=0).await;
}

#[tokio::test]
async fn requests_are_retried_if_the_store_asks_to_slow_down() {
    check(Quirk::SlowDown, 1..=1000).await;
}

#[tokio::test]
async fn a_connection_that_the_store_closed_while_idle_is_reopened() {
    check(Quirk::ClosesIdleConnections, 0..=0).await;
}
