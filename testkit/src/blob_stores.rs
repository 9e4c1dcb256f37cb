//! Stores of objects, and objects in them.

use std::sync::Arc;

use bytes::Bytes;
use bytesize::ByteSize;
use futures_util::TryStreamExt as _;
use media_domain::{blob::BlobKey, ids::BlobId};
use media_storage::{BlobStore, S3Location, SizeHint, StorageError, s3::S3Store};

use crate::{seaweed, service::unique};

/// Room for three parts: many writers at once have to wait for each other.
pub const BUFFER: ByteSize = ByteSize::mib(24);

pub fn unique_prefix() -> String {
    format!("{}/", unique("store"))
}

pub async fn open_s3(prefix: &str) -> S3Store {
    let location = S3Location {
        bucket: seaweed::BUCKET.to_owned(),
        prefix: prefix.to_owned(),
        path_style: None,
        buffer: BUFFER,
    };
    let client = seaweed::shared().await.client();
    S3Store::with_client(client, &location)
}

pub fn key() -> BlobKey {
    BlobKey::of(BlobId::generate())
}

pub fn anything() -> SizeHint {
    SizeHint {
        announced: None,
        max: 1 << 30,
    }
}

pub async fn write(store: &Arc<dyn BlobStore>, key: &BlobKey, bytes: &[u8], chunk: usize) {
    let mut writer = store.create(key, anything()).await.unwrap();
    for piece in bytes.chunks(chunk) {
        writer.write(Bytes::copy_from_slice(piece)).await.unwrap();
    }
    writer.finish().await.unwrap();
}

pub async fn read(
    store: &Arc<dyn BlobStore>,
    key: &BlobKey,
    range: std::ops::Range<u64>,
) -> Result<Vec<u8>, StorageError> {
    let pieces: Vec<Bytes> = store.read(key, range).await?.try_collect().await?;
    Ok(pieces.concat())
}
