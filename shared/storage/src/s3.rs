//! Storage in a bucket of S3, or of an S3-compatible store.

use std::{
    ops::Range,
    sync::{Arc, Once},
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_s3::{
    Client,
    error::SdkError,
    operation::abort_multipart_upload::AbortMultipartUploadError,
    presigning::PresigningConfig,
    primitives::{ByteStream, ByteStreamError},
};
use bytes::Bytes;
use bytesize::ByteSize;
use futures_util::{StreamExt as _, stream};
use url::Url;

use super::{BlobStore, BlobStream, BlobWriter, PresignedAnswer, SizeHint, StorageError};
use crate::S3Location;
use media_domain::{
    blob::{BlobKey, ResumePoint},
    media::Sha256,
};

mod buffer_budget;
mod checksum;
mod connect;
mod failure;
mod object_writer;
mod part_buffer;
mod uploaded_parts;

use buffer_budget::BufferBudget;
use checksum::{BodyChecksum, ChecksumSupport};
use failure::{classify, is_unsupported};
use object_writer::S3Writer;

/// The unit of the buffer budget, in bytes.
const MEBIBYTE: u64 = 1024 * 1024;

/// Stores each object under its own key below the prefix. Small objects are put in one request, large ones as a
/// multipart upload.
#[derive(Clone, Debug)]
pub struct S3Store {
    client: Client,
    bucket: String,
    prefix: String,
    /// The memory for parts that are being filled or uploaded.
    budget: BufferBudget,
    checksum: ChecksumSupport,
    /// Set once the log says that the store cannot list multipart uploads.
    cannot_list_uploads: Arc<Once>,
}

impl S3Store {
    /// Opens the bucket. An unreachable store is only logged: it may come back while the service runs. A store that
    /// refuses the request is an error.
    pub async fn open(location: &S3Location) -> Result<Self, StorageError> {
        let mut store = Self::with_client(connect::client(location).await?, location);
        store.checksum = ChecksumSupport::new(connect::body_checksum()?);
        match store.check().await {
            Err(error) if error.is_misconfiguration() => Err(error),
            Err(error) => {
                tracing::warn!(%error, "the object store cannot be used yet");
                Ok(store)
            }
            Ok(()) => Ok(store),
        }
    }

    /// Uses a configured client. No request is sent.
    pub fn with_client(client: Client, location: &S3Location) -> Self {
        let mebibytes = u32::try_from(location.buffer.as_u64() / MEBIBYTE).unwrap_or(u32::MAX >> 4);
        Self {
            client,
            bucket: location.bucket.clone(),
            prefix: location.prefix.clone(),
            budget: BufferBudget::new(mebibytes),
            checksum: ChecksumSupport::new(BodyChecksum::Crc32),
            cannot_list_uploads: Arc::new(Once::new()),
        }
    }

    fn key(&self, key: &BlobKey) -> String {
        format!("{}{}", self.prefix, key.as_str())
    }

    /// Aborts the incomplete multipart uploads of a key.
    async fn abort_uploads(&self, key: &str) -> Result<(), StorageError> {
        let mut key_marker = None;
        let mut id_marker = None;
        loop {
            let page = self
                .client
                .list_multipart_uploads()
                .bucket(&self.bucket)
                .prefix(key)
                .set_key_marker(key_marker)
                .set_upload_id_marker(id_marker)
                .send()
                .await;
            let page = match page {
                Err(error) if is_unsupported(&error) => {
                    self.cannot_list_uploads.call_once(|| {
                        tracing::warn!(
                            "the object store cannot list multipart uploads (ListMultipartUploads); add a lifecycle \
                             rule that aborts incomplete uploads after a few days"
                        );
                    });
                    return Ok(());
                }
                page => page.map_err(|error| classify(&error))?,
            };
            for upload in page.uploads() {
                if let (Some(found), Some(id)) = (upload.key(), upload.upload_id())
                    && found == key
                {
                    self.abort_upload(key, id).await?;
                }
            }
            if page.is_truncated() != Some(true) {
                return Ok(());
            }
            key_marker = page.next_key_marker;
            id_marker = page.next_upload_id_marker;
        }
    }

    async fn abort_upload(&self, key: &str, id: &str) -> Result<(), StorageError> {
        let aborted = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(id)
            .send()
            .await;
        ignore_not_found(aborted)
    }
}

/// Treats an upload that no longer exists as aborted.
fn ignore_not_found<T>(
    aborted: Result<T, SdkError<AbortMultipartUploadError>>,
) -> Result<(), StorageError> {
    match aborted.map_err(|error| classify(&error)) {
        Ok(_) | Err(StorageError::NotFound) => Ok(()),
        Err(error) => Err(error),
    }
}

#[async_trait]
impl BlobStore for S3Store {
    async fn create(
        &self,
        key: &BlobKey,
        size_hint: SizeHint,
    ) -> Result<Box<dyn BlobWriter>, StorageError> {
        let writer = S3Writer::new(self.clone(), self.key(key), size_hint);
        Ok(Box::new(writer))
    }

    async fn resume(
        &self,
        key: &BlobKey,
        resume_point: &ResumePoint,
        _sha256: Sha256,
    ) -> Result<Option<Box<dyn BlobWriter>>, StorageError> {
        let writer = S3Writer::resume(self.clone(), self.key(key), resume_point).await?;
        Ok(writer.map(|writer| Box::new(writer) as Box<dyn BlobWriter>))
    }

    async fn read(&self, key: &BlobKey, range: Range<u64>) -> Result<BlobStream, StorageError> {
        if range.is_empty() {
            return Ok(stream::empty().boxed());
        }
        let answer = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(self.key(key))
            .range(format!("bytes={}-{}", range.start, range.end - 1))
            .send()
            .await
            .map_err(|error| classify(&error))?;
        // An object shorter than its record is an error: the client must not take a truncated response for a
        // complete one.
        let expected = range.end - range.start;
        if answer.content_length().and_then(|n| u64::try_from(n).ok()) != Some(expected) {
            return Err(StorageError::Io(std::io::Error::other(format!(
                "the object store sent {:?} of {expected} bytes",
                answer.content_length()
            ))));
        }
        Ok(stream::try_unfold(answer.body, next_chunk).boxed())
    }

    async fn delete(&self, key: &BlobKey) -> Result<(), StorageError> {
        let key = self.key(key);
        self.abort_uploads(&key).await?;
        let deleted = self
            .client
            .delete_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await;
        match deleted.map_err(|error| classify(&error)) {
            Ok(_) | Err(StorageError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn check(&self) -> Result<(), StorageError> {
        self.client
            .list_objects_v2()
            .bucket(&self.bucket)
            .prefix(&self.prefix)
            .max_keys(1)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        Ok(())
    }

    async fn presign(
        &self,
        key: &BlobKey,
        answer: &PresignedAnswer,
    ) -> Result<Option<Url>, StorageError> {
        let config = PresigningConfig::expires_in(answer.valid_for)
            .map_err(|error| StorageError::Refused(error.to_string()))?;
        let request = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(self.key(key))
            .response_content_type(&answer.content_type)
            .response_content_disposition(&answer.content_disposition)
            .presigned(config)
            .await
            .map_err(|error| classify(&error))?;
        Url::parse(request.uri())
            .map(Some)
            .map_err(|error| StorageError::Refused(error.to_string()))
    }
}

/// The buffer size with which `imports` concurrent imports of at most `max_bytes` each never wait for one another.
pub fn needed_buffer(imports: usize, max_bytes: ByteSize) -> ByteSize {
    let size_hint = SizeHint {
        announced: None,
        max: max_bytes.as_u64(),
    };
    let part = object_writer::part_bytes(size_hint) as u64;
    // The usual share and the reserve may each have a remainder that is too small for a part.
    let remainders = if part > object_writer::PART_BYTES {
        2 * part
    } else {
        0
    };
    ByteSize::b(part * imports as u64 + remainders)
}

async fn next_chunk(mut body: ByteStream) -> Result<Option<(Bytes, ByteStream)>, StorageError> {
    let chunk = body.try_next().await.map_err(|error| interrupted(&error))?;
    Ok(chunk.map(|chunk| (chunk, body)))
}

fn interrupted(error: &ByteStreamError) -> StorageError {
    StorageError::Unavailable(format!("the object's body was interrupted: {error}"))
}

/// The timeout of one attempt of a request with a body of this size, at the slowest accepted connection.
fn upload_timeout(bytes: usize) -> Duration {
    const MIN_BYTES_PER_SECOND: usize = 64 * 1024;
    Duration::from_secs(30 + (bytes / MIN_BYTES_PER_SECOND) as u64)
}
