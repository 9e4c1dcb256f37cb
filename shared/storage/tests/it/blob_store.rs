//! The contract of `BlobStore`, tested on every implementation.

use std::{path::Path, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use media_domain::{
    blob::{BlobKey, ResumeLocation, ResumePoint},
    ids::BlobId,
    media::Sha256,
};
use media_storage::{BlobStore, SizeHint, StorageError, disk::DiskStore};
use media_testkit::{
    blob_stores::{anything, key, open_s3, read, unique_prefix, write},
    seaweed,
};
use sha2::Digest as _;

/// Generates a test of each function for every implementation.
macro_rules! on_every_store {
    ($($name:ident),* $(,)?) => {
        mod disk {
            $(
                #[tokio::test]
                async fn $name() {
                    let directory = tempfile::tempdir().unwrap();
                    let store = super::DiskStore::open(directory.path().into()).await.unwrap();
                    super::$name(std::sync::Arc::new(store)).await;
                    assert_eq!(super::files_in(directory.path()), 0, "something was left behind");
                }
            )*
        }

        mod s3 {
            $(
                #[tokio::test]
                async fn $name() {
                    let prefix = super::unique_prefix();
                    let store = super::open_s3(&prefix).await;
                    super::$name(std::sync::Arc::new(store)).await;
                    let left = super::seaweed::shared().await.leftovers(&prefix).await;
                    assert_eq!(left, Vec::<String>::new(), "something was left behind");
                }
            )*
        }
    };
}

on_every_store!(
    written_bytes_are_read_back_in_any_range,
    an_object_cannot_be_read_before_it_is_finished,
    a_large_object_is_read_back_in_full_and_in_ranges,
    a_dropped_write_cannot_be_read_and_is_deleted_completely,
    an_aborted_write_leaves_nothing,
    a_later_writer_resumes_from_the_checkpoint,
    a_resume_point_that_does_not_match_storage_is_not_resumed,
    many_concurrent_writers_share_the_memory,
    deleting_is_idempotent_and_also_removes_partial_objects,
);

fn files_in(directory: &Path) -> usize {
    std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| if path.is_dir() { files_in(&path) } else { 1 })
        .sum()
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size)
        .map(|n| u8::try_from(n * 7 % 251).unwrap())
        .collect()
}

async fn written_bytes_are_read_back_in_any_range(store: Arc<dyn BlobStore>) {
    for (size, chunk) in [
        (0, 1),
        (1, 1),
        (1000, 7),
        (256 * 1024, 4096),
        (700_001, 300_000),
    ] {
        let (key, bytes) = (key(), pattern(size));
        write(&store, &key, &bytes, chunk).await;
        let end = size as u64;
        assert_eq!(read(&store, &key, 0..end).await.unwrap(), bytes);
        for start in [0, size / 3, size.saturating_sub(1)] {
            let range = start as u64..end;
            assert_eq!(read(&store, &key, range).await.unwrap(), bytes[start..]);
        }
        assert_eq!(
            read(&store, &key, 0..end / 2).await.unwrap(),
            bytes[..size / 2]
        );
        // Reading beyond the end of the object fails; it does not return a short object.
        assert!(read(&store, &key, 0..end + 1).await.is_err());
        store.delete(&key).await.unwrap();
    }
}

async fn an_object_cannot_be_read_before_it_is_finished(store: Arc<dyn BlobStore>) {
    let key = key();
    let mut writer = store.create(&key, anything()).await.unwrap();
    writer.write(Bytes::from(pattern(600_000))).await.unwrap();
    let early = read(&store, &key, 0..1).await;
    assert!(matches!(early, Err(StorageError::NotFound)), "{early:?}");
    writer.finish().await.unwrap();
    assert_eq!(
        read(&store, &key, 0..600_000).await.unwrap(),
        pattern(600_000)
    );
    store.delete(&key).await.unwrap();
}

/// Several parts, of which the last is shorter.
const LARGE_BYTES: usize = 21 * 1024 * 1024 + 12_345;

async fn a_large_object_is_read_back_in_full_and_in_ranges(store: Arc<dyn BlobStore>) {
    let (key, bytes) = (key(), pattern(LARGE_BYTES));
    write(&store, &key, &bytes, 100_000).await;
    let end = LARGE_BYTES as u64;
    assert!(read(&store, &key, 0..end).await.unwrap() == bytes);
    let middle = 8 * 1024 * 1024 - 10..16 * 1024 * 1024 + 10;
    let part = read(&store, &key, middle.start as u64..middle.end as u64).await;
    assert!(part.unwrap() == bytes[middle]);
    store.delete(&key).await.unwrap();
}

async fn a_dropped_write_cannot_be_read_and_is_deleted_completely(store: Arc<dyn BlobStore>) {
    for size in [600_000, LARGE_BYTES] {
        let key = key();
        let mut writer = store.create(&key, anything()).await.unwrap();
        writer.write(Bytes::from(pattern(size))).await.unwrap();
        drop(writer);
        let gone = read(&store, &key, 0..1).await;
        assert!(matches!(gone, Err(StorageError::NotFound)), "{gone:?}");
        store.delete(&key).await.unwrap();
    }
}

async fn an_aborted_write_leaves_nothing(store: Arc<dyn BlobStore>) {
    for size in [600_000, LARGE_BYTES] {
        let key = key();
        let mut writer = store.create(&key, anything()).await.unwrap();
        writer.write(Bytes::from(pattern(size))).await.unwrap();
        writer.abort().await.unwrap();
        let gone = read(&store, &key, 0..1).await;
        assert!(matches!(gone, Err(StorageError::NotFound)), "{gone:?}");
    }
}

async fn many_concurrent_writers_share_the_memory(store: Arc<dyn BlobStore>) {
    let bytes = pattern(9 * 1024 * 1024);
    let writers = (0..8).map(|_| async {
        let key = key();
        write(&store, &key, &bytes, 700_000).await;
        assert!(read(&store, &key, 0..bytes.len() as u64).await.unwrap() == bytes);
        store.delete(&key).await.unwrap();
    });
    futures_util::future::join_all(writers).await;
}

async fn deleting_is_idempotent_and_also_removes_partial_objects(store: Arc<dyn BlobStore>) {
    let key = key();
    store.delete(&key).await.unwrap();
    let mut writer = store.create(&key, anything()).await.unwrap();
    writer.write(Bytes::from(pattern(600_000))).await.unwrap();
    // As if the process had died.
    std::mem::forget(writer);
    store.delete(&key).await.unwrap();
    store.delete(&key).await.unwrap();
}

/// The premise of sending a checksum with each request.
#[tokio::test]
async fn the_object_store_refuses_bytes_that_do_not_match_their_checksum() {
    let put = |checksum: &'static str| async move {
        let key = format!("{}bytes", unique_prefix());
        let client = seaweed::shared().await.client();
        let bytes = aws_sdk_s3::primitives::ByteStream::from_static(b"123456789");
        let put = client.put_object().bucket(seaweed::BUCKET).key(key);
        put.checksum_crc32(checksum).body(bytes).send().await
    };
    // CRC-32 of "123456789" is 0xCBF43926.
    assert!(put("y/Q5Jg==").await.is_ok());
    assert!(put("y/Q5Jw==").await.is_err());
}

/// A request to create an upload is retried if its response is lost, although it may have created one.
#[tokio::test]
async fn an_upload_whose_creation_was_not_acknowledged_is_aborted_when_the_object_is_finished() {
    let prefix = unique_prefix();
    let store: Arc<dyn BlobStore> = Arc::new(open_s3(&prefix).await);
    let (key, seaweed) = (key(), seaweed::shared().await);
    let lost = seaweed.client().create_multipart_upload();
    let lost = lost.bucket(seaweed::BUCKET);
    let lost = lost.key(format!("{prefix}{}", key.as_str()));
    lost.send().await.unwrap();
    assert_eq!(seaweed.open_uploads(&prefix).await.len(), 1);
    let bytes = pattern(9 << 20);
    write(&store, &key, &bytes, 1 << 20).await;
    assert_eq!(seaweed.open_uploads(&prefix).await, [""; 0]);
    let end = bytes.len() as u64;
    assert!(read(&store, &key, 0..end).await.unwrap() == bytes);
}

/// Three parts and a remainder, in chunks of a mebibyte.
fn chunks() -> Vec<Bytes> {
    (0..25).map(|n| Bytes::from(vec![n; 1 << 20])).collect()
}

fn sha256(bytes: &[u8]) -> Sha256 {
    Sha256::from_bytes(sha2::Sha256::digest(bytes).into())
}

/// Writes most of the chunks, drops the writer and returns its last checkpoint.
async fn interrupt_write(store: &Arc<dyn BlobStore>, key: &BlobKey) -> ResumePoint {
    let mut writer = store.create(key, large()).await.unwrap();
    for chunk in &chunks()[..20] {
        writer.write(chunk.clone()).await.unwrap();
    }
    media_testkit::wait_until("two parts are saved", Duration::from_secs(30), async || {
        let saved = writer.checkpoint().await.unwrap();
        saved.filter(|resume_point| resume_point.bytes >= 16 << 20)
    })
    .await
}

fn large() -> SizeHint {
    SizeHint {
        announced: Some(25 << 20),
        max: 1 << 30,
    }
}

async fn a_later_writer_resumes_from_the_checkpoint(store: Arc<dyn BlobStore>) {
    let key = BlobKey::of(BlobId::generate());
    let resume_point = interrupt_write(&store, &key).await;
    let all = chunks().concat();
    let saved = usize::try_from(resume_point.bytes).unwrap();
    let digest = sha256(&all[..saved]);
    let resumed = store.resume(&key, &resume_point, digest).await;
    let mut writer = resumed.unwrap().expect("the saved bytes are unchanged");
    writer
        .write(Bytes::copy_from_slice(&all[saved..]))
        .await
        .unwrap();
    writer.finish().await.unwrap();
    let read = store.read(&key, 0..all.len() as u64).await.unwrap();
    let read: Vec<Bytes> = read.try_collect().await.unwrap();
    assert!(read.concat() == all);
    // A finished object cannot be resumed.
    let again = store.resume(&key, &resume_point, digest).await;
    assert!(again.unwrap().is_none());
    let read = store.read(&key, 0..all.len() as u64).await.unwrap();
    assert!(read.try_collect::<Vec<Bytes>>().await.unwrap().concat() == all);
    store.delete(&key).await.unwrap();
}

async fn a_resume_point_that_does_not_match_storage_is_not_resumed(store: Arc<dyn BlobStore>) {
    let key = BlobKey::of(BlobId::generate());
    let resume_point = interrupt_write(&store, &key).await;
    let all = chunks().concat();
    let digest = sha256(&all[..usize::try_from(resume_point.bytes).unwrap()]);
    let longer = ResumePoint {
        bytes: resume_point.bytes + (8 << 20),
        location: resume_point.location.clone(),
    };
    assert!(store.resume(&key, &longer, digest).await.unwrap().is_none());
    let other = BlobKey::of(BlobId::generate());
    assert!(
        store
            .resume(&other, &resume_point, digest)
            .await
            .unwrap()
            .is_none()
    );
    let elsewhere = ResumePoint {
        bytes: resume_point.bytes,
        location: match resume_point.location {
            ResumeLocation::Disk => ResumeLocation::S3 {
                upload: "u".to_owned(),
                part_bytes: 8 << 20,
                tags: digest,
            },
            ResumeLocation::S3 { .. } => ResumeLocation::Disk,
        },
    };
    assert!(
        store
            .resume(&key, &elsewhere, digest)
            .await
            .unwrap()
            .is_none()
    );
    store.delete(&key).await.unwrap();
}

#[tokio::test]
async fn a_file_that_is_locked_by_another_writer_or_was_modified_is_not_resumed() {
    let directory = tempfile::tempdir().unwrap();
    let store = DiskStore::open(directory.path().into()).await.unwrap();
    let key = BlobKey::of(BlobId::generate());
    let mut writer = store.create(&key, large()).await.unwrap();
    writer
        .write(Bytes::from_static(b"some bytes"))
        .await
        .unwrap();
    let resume_point = writer.checkpoint().await.unwrap().unwrap();
    let digest = sha256(b"some bytes");
    assert!(
        store
            .resume(&key, &resume_point, digest)
            .await
            .unwrap()
            .is_none()
    );
    drop(writer);
    assert!(
        store
            .resume(&key, &resume_point, sha256(b"others"))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .resume(&key, &resume_point, digest)
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn an_object_that_cannot_fit_on_the_disk_is_refused_before_its_first_byte() {
    let directory = tempfile::tempdir().unwrap();
    let store = DiskStore::open(directory.path().into()).await.unwrap();
    let size_hint = SizeHint {
        announced: Some(1 << 60),
        max: 1 << 61,
    };
    let refused = store
        .create(&BlobKey::of(BlobId::generate()), size_hint)
        .await;
    assert!(matches!(refused.err(), Some(StorageError::Full)));
    assert_eq!(files_in(directory.path()), 0);
}

/// A small file is created and finished in one step.
#[tokio::test]
async fn a_write_to_disk_that_cannot_be_finished_leaves_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let store = DiskStore::open(directory.path().into()).await.unwrap();
    let key = key();
    let mut writer = store.create(&key, anything()).await.unwrap();
    writer.write(Bytes::from_static(b"bytes")).await.unwrap();
    // A file cannot be renamed over a directory.
    std::fs::create_dir(directory.path().join(key.as_str())).unwrap();
    writer.finish().await.unwrap_err();
    assert_eq!(files_in(directory.path()), 0);
}
