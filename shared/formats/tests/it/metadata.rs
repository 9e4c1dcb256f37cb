//! Reading the metadata of stored blobs, on disk and in S3.

use std::{
    ops::Range,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use async_trait::async_trait;
use media_domain::{
    blob::{BlobKey, ResumePoint, StoredBlob},
    ids::BlobId,
    media::Sha256,
};
use media_formats::metadata;
use media_ingest::HEAD_BYTES;
use media_storage::{BlobStore, BlobStream, BlobWriter, SizeHint, StorageError, disk::DiskStore};
use serde_json::{Value as Json, json};

use media_testkit::blob_stores::{open_s3, unique_prefix, write};

/// A movie of 300 KB with its header at the end.
fn movie() -> Vec<u8> {
    let movie = include_bytes!("../samples/moov-last.mp4");
    let (kind, rest) = movie.split_at(32);
    let padding = [
        300_008_u32.to_be_bytes().as_slice(),
        b"free",
        &vec![0; 300_000],
    ]
    .concat();
    [kind, &padding, rest].concat()
}

/// A WAV file with so many channels that the size of one frame overflows 16 bits.
fn too_many_channels() -> Vec<u8> {
    let mut file = b"RIFF\x28\0\0\0WAVEfmt \x10\0\0\0\x01\0\xff\xff\x44\xac\0\0".to_vec();
    file.extend(b"\x10\xb1\x02\0\x04\0\x20\0data\x04\0\0\0\0\0\0\0");
    file
}

/// A store that counts reads and fails them on demand.
struct CountingStore {
    inner: Arc<dyn BlobStore>,
    reads: AtomicU64,
    bytes: AtomicU64,
    broken: bool,
}

#[async_trait]
impl BlobStore for CountingStore {
    async fn create(
        &self,
        key: &BlobKey,
        size_hint: SizeHint,
    ) -> Result<Box<dyn BlobWriter>, StorageError> {
        self.inner.create(key, size_hint).await
    }

    async fn resume(
        &self,
        key: &BlobKey,
        resume_point: &ResumePoint,
        sha256: Sha256,
    ) -> Result<Option<Box<dyn BlobWriter>>, StorageError> {
        self.inner.resume(key, resume_point, sha256).await
    }

    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<BlobStream, StorageError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.bytes
            .fetch_add(range.end - range.start, Ordering::Relaxed);
        if self.broken {
            return Err(StorageError::Unavailable("the store is away".to_owned()));
        }
        self.inner.read(key, range).await
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), StorageError> {
        self.inner.delete(key).await
    }

    async fn check(&self) -> Result<(), StorageError> {
        self.inner.check().await
    }
}

/// The metadata of bytes after storing them, the number of reads and the number of bytes read.
async fn metadata_and_reads(
    store: Arc<dyn BlobStore>,
    bytes: &[u8],
    mime: &str,
    broken: bool,
) -> (Json, u64, u64) {
    let blob_id = BlobId::generate();
    let key = BlobKey::of(blob_id);
    write(&store, &key, bytes, 64 * 1024).await;
    let counting = Arc::new(CountingStore {
        inner: store,
        reads: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        broken,
    });
    let blob = StoredBlob {
        blob_id,
        size: bytes.len() as u64,
        sha256: Sha256::from_bytes([0; 32]),
        head: bytes[..bytes.len().min(HEAD_BYTES)].to_vec(),
    };
    let store: Arc<dyn BlobStore> = Arc::clone(&counting) as _;
    let found = metadata::read(&store, &blob, mime).await;
    store.delete(&key).await.unwrap();
    (
        serde_json::to_value(found).unwrap(),
        counting.reads.load(Ordering::Relaxed),
        counting.bytes.load(Ordering::Relaxed),
    )
}

async fn a_header_beyond_the_head_is_found_with_one_short_read(store: Arc<dyn BlobStore>) {
    let (found, reads, bytes) = metadata_and_reads(store, &movie(), "video/mp4", false).await;
    assert_eq!(found, json!({ "width": 64, "height": 48, "duration": 1.5 }));
    assert_eq!(reads, 1);
    assert!(bytes <= 128 * 1024, "{bytes}");
}

#[tokio::test]
async fn a_header_beyond_the_head_is_found_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(DiskStore::open(directory.path().into()).await.unwrap());
    a_header_beyond_the_head_is_found_with_one_short_read(store).await;
}

#[tokio::test]
async fn a_header_beyond_the_head_is_found_in_s3() {
    let store = Arc::new(open_s3(&unique_prefix()).await);
    a_header_beyond_the_head_is_found_with_one_short_read(store).await;
}

#[tokio::test]
async fn a_failure_to_read_yields_no_metadata() {
    let directory = tempfile::tempdir().unwrap();
    let store = Arc::new(DiskStore::open(directory.path().into()).await.unwrap());
    let (found, reads, _) = metadata_and_reads(store.clone(), &movie(), "video/mp4", true).await;
    assert_eq!((found, reads), (Json::Null, 1));
    // The parser multiplies the channels and, with overflow checks, panics.
    let (found, ..) =
        metadata_and_reads(store.clone(), &too_many_channels(), "audio/wav", false).await;
    assert_eq!(found, Json::Null);
    let (found, reads, _) = metadata_and_reads(store, &vec![0; 300_000], "video/mp4", false).await;
    assert_eq!((found, reads), (Json::Null, 0));
}
