//! The writer of one object in S3: one request for a small object, else a multipart upload with several parts in
//! flight.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::{
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::{Buf as _, Bytes};
use tokio::{sync::OwnedSemaphorePermit, task::JoinSet};

use super::{
    MEBIBYTE, S3Store, classify, connect::with_attempt_timeout, part_buffer::PartBuffer,
    upload_timeout, uploaded_parts::Parts,
};
use crate::{BlobWriter, SizeHint, StorageError};
use media_domain::blob::{ResumeLocation, ResumePoint};

/// The size of a part, unless the object would then have too many parts. All parts but the last have the same size,
/// as some stores require.
pub(super) const PART_BYTES: u64 = 8 * MEBIBYTE;
/// The maximum number of parts of one object (Amazon S3 User Guide, «multipart upload limits»).
const MAX_PARTS: u64 = 10_000;
/// The maximum number of parts of one object in flight.
const MAX_PARTS_IN_FLIGHT: usize = 4;
/// The bytes that a writer may buffer without a share of the budget, so that small objects never wait for one.
const UNBUDGETED_BYTES: usize = 256 * 1024;
/// The timeout for the store to assemble an object from its parts.
const COMPLETE_TIMEOUT: Duration = Duration::from_mins(2);

/// Writes one object. A part is sent while the next one fills; the budget limits the memory of all writers.
pub(super) struct S3Writer {
    store: S3Store,
    key: String,
    part_bytes: usize,
    written: u64,
    /// The bytes that arrived before the first part was allocated.
    first: Vec<u8>,
    part: Option<OpenPart>,
    upload: Option<Upload>,
}

/// A part that is being filled, and its share of the budget.
struct OpenPart {
    buffer: PartBuffer,
    share: OwnedSemaphorePermit,
}

/// A multipart upload.
struct Upload {
    id: String,
    /// The number of parts whose upload was started.
    started: i32,
    /// Dropping the set cancels the requests.
    in_flight: JoinSet<Result<CompletedPart, StorageError>>,
    parts: Parts,
}

impl S3Writer {
    /// Resumes an upload, if the store still has its first parts unchanged.
    pub(super) async fn resume(
        store: S3Store,
        key: String,
        resume_point: &ResumePoint,
    ) -> Result<Option<Self>, StorageError> {
        let (
            ResumeLocation::S3 {
                upload, part_bytes, ..
            },
            Some(parts),
        ) = (
            &resume_point.location,
            store.find_parts(&key, resume_point).await?,
        )
        else {
            return Ok(None);
        };
        let started = resume_point
            .bytes
            .checked_div(*part_bytes)
            .unwrap_or_default();
        Ok(Some(Self {
            store,
            key,
            part_bytes: usize::try_from(*part_bytes).unwrap_or(usize::MAX),
            written: resume_point.bytes,
            first: Vec::new(),
            part: None,
            upload: Some(Upload {
                id: upload.clone(),
                started: i32::try_from(started).unwrap_or(i32::MAX),
                in_flight: JoinSet::new(),
                parts,
            }),
        }))
    }

    pub(super) fn new(store: S3Store, key: String, size_hint: SizeHint) -> Self {
        Self {
            store,
            key,
            part_bytes: part_bytes(size_hint),
            written: 0,
            first: Vec::new(),
            part: None,
            upload: None,
        }
    }

    /// Returns the part that is being filled. Waits for its share of the budget if it has to be allocated.
    async fn open_part(&mut self) -> Result<&mut OpenPart, StorageError> {
        let part = if let Some(part) = self.part.take() {
            part
        } else {
            let share = self.store.budget.share(self.part_bytes).await?;
            let mut buffer = PartBuffer::new(self.part_bytes)?;
            buffer.fill(&std::mem::take(&mut self.first));
            OpenPart { buffer, share }
        };
        Ok(self.part.insert(part))
    }

    /// Starts the upload of the open part.
    async fn send_part(&mut self) -> Result<(), StorageError> {
        let Some(OpenPart { buffer, share }) = self.part.take() else {
            return Ok(());
        };
        let part = buffer.into_bytes();
        if self.upload.is_none() {
            self.upload = Some(self.begin().await?);
        }
        let (store, key) = (self.store.clone(), self.key.clone());
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        while upload.in_flight.len() >= MAX_PARTS_IN_FLIGHT {
            upload.join_one().await?;
        }
        upload.started += 1;
        let (id, number) = (upload.id.clone(), upload.started);
        upload.in_flight.spawn(async move {
            let completed = put_part(&store, &key, &id, number, part).await;
            drop(share);
            completed
        });
        Ok(())
    }

    /// Sends the last part and completes the upload.
    async fn finish_upload(&mut self) -> Result<(), StorageError> {
        if !self.first.is_empty() {
            self.open_part().await?;
        }
        self.send_part().await?;
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        upload.join_all().await?;
        let (id, parts) = (upload.id.clone(), std::mem::take(&mut upload.parts));
        let parts = parts.into_ordered();
        self.complete(&id, parts).await?;
        self.abort_lost_uploads().await;
        Ok(())
    }

    /// Aborts uploads of the same object that were created by a request whose response was lost. Otherwise they would
    /// remain until the object is deleted.
    async fn abort_lost_uploads(&self) {
        if let Err(error) = self.store.abort_uploads(&self.key).await {
            tracing::warn!(key = self.key, %error, "a multipart upload may have been left open");
        }
    }

    async fn begin(&self) -> Result<Upload, StorageError> {
        let begun = self
            .store
            .client
            .create_multipart_upload()
            .bucket(&self.store.bucket)
            .key(&self.key)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        let id = begun.upload_id.ok_or_else(|| {
            StorageError::Unavailable("the object store created an upload without an id".to_owned())
        })?;
        Ok(Upload {
            id,
            started: 0,
            in_flight: JoinSet::new(),
            parts: Parts::default(),
        })
    }

    async fn put_whole(&mut self) -> Result<(), StorageError> {
        let (bytes, _share) = match self.part.take() {
            Some(OpenPart { buffer, share }) => (buffer.into_bytes(), Some(share)),
            None => (Bytes::from(std::mem::take(&mut self.first)), None),
        };
        let (store, key) = (&self.store, &self.key);
        store
            .with_checksum(&bytes, |checksum| {
                store
                    .client
                    .put_object()
                    .bucket(&store.bucket)
                    .key(key)
                    .set_checksum_crc32(checksum.crc32())
                    .set_content_md5(checksum.md5())
                    .body(ByteStream::from(bytes.clone()))
                    .customize()
                    .disable_payload_signing()
                    .config_override(with_attempt_timeout(upload_timeout(bytes.len())))
                    .send()
            })
            .await?;
        Ok(())
    }

    async fn complete(&self, id: &str, parts: Vec<CompletedPart>) -> Result<(), StorageError> {
        let parts = CompletedMultipartUpload::builder()
            .set_parts(Some(parts))
            .build();
        let completed = self
            .store
            .client
            .complete_multipart_upload()
            .bucket(&self.store.bucket)
            .key(&self.key)
            .upload_id(id)
            .multipart_upload(parts)
            .customize()
            .config_override(with_attempt_timeout(COMPLETE_TIMEOUT))
            .send()
            .await;
        match completed.map_err(|error| classify(&error)) {
            Ok(_) => Ok(()),
            // Completed by an attempt whose response was lost, or aborted: only then the object is missing.
            Err(StorageError::NotFound) => self.confirm().await,
            Err(error) => Err(error),
        }
    }

    /// Checks that the object exists and is complete.
    async fn confirm(&self) -> Result<(), StorageError> {
        let head = self
            .store
            .client
            .head_object()
            .bucket(&self.store.bucket)
            .key(&self.key)
            .send()
            .await
            .map_err(|error| classify(&error))?;
        if head.content_length().and_then(|n| u64::try_from(n).ok()) == Some(self.written) {
            Ok(())
        } else {
            Err(StorageError::NotFound)
        }
    }
}

impl Upload {
    /// Waits for one of the parts in flight.
    async fn join_one(&mut self) -> Result<(), StorageError> {
        if let Some(joined) = self.in_flight.join_next().await {
            let completed = joined.map_err(std::io::Error::other)?;
            self.parts.add(completed?);
        }
        Ok(())
    }

    /// Records the parts whose upload has ended.
    fn join_ready(&mut self) -> Result<(), StorageError> {
        while let Some(joined) = self.in_flight.try_join_next() {
            let completed = joined.map_err(std::io::Error::other)?;
            self.parts.add(completed?);
        }
        Ok(())
    }

    /// Waits for all parts in flight.
    async fn join_all(&mut self) -> Result<(), StorageError> {
        while !self.in_flight.is_empty() {
            self.join_one().await?;
        }
        Ok(())
    }
}

#[async_trait]
impl BlobWriter for S3Writer {
    async fn write(&mut self, mut chunk: Bytes) -> Result<(), StorageError> {
        self.written += chunk.len() as u64;
        if self.part.is_none() {
            let remaining = UNBUDGETED_BYTES - self.first.len();
            let prefix = chunk.split_to(remaining.min(chunk.len()));
            self.first.extend_from_slice(&prefix);
        }
        while !chunk.is_empty() {
            let buffer = &mut self.open_part().await?.buffer;
            let taken = buffer.fill(&chunk);
            chunk.advance(taken);
            if buffer.remaining() == 0 {
                self.send_part().await?;
            }
        }
        Ok(())
    }

    fn resume_granularity(&self) -> Option<u64> {
        Some(self.part_bytes as u64)
    }

    async fn checkpoint(&mut self) -> Result<Option<ResumePoint>, StorageError> {
        let part_bytes = self.part_bytes as u64;
        let Some(upload) = &mut self.upload else {
            return Ok(None);
        };
        upload.join_ready()?;
        Ok(upload.parts.resume_point(&upload.id, part_bytes))
    }

    async fn finish(mut self: Box<Self>) -> Result<(), StorageError> {
        if self.upload.is_none() {
            return self.put_whole().await;
        }
        // A failed upload is not aborted here: another worker may own it by now.
        self.finish_upload().await
    }

    async fn abort(mut self: Box<Self>) -> Result<(), StorageError> {
        let Some(mut upload) = self.upload.take() else {
            return Ok(());
        };
        upload.in_flight.shutdown().await;
        self.store.abort_upload(&self.key, &upload.id).await
    }
}

/// Uploads one part. The payload is not signed: hashing it again would cost more than the rest of the request.
async fn put_part(
    store: &S3Store,
    key: &str,
    upload: &str,
    number: i32,
    part: Bytes,
) -> Result<CompletedPart, StorageError> {
    let taken = store
        .with_checksum(&part, |checksum| {
            store
                .client
                .upload_part()
                .bucket(&store.bucket)
                .key(key)
                .upload_id(upload)
                .part_number(number)
                .set_checksum_crc32(checksum.crc32())
                .set_content_md5(checksum.md5())
                .body(ByteStream::from(part.clone()))
                .customize()
                .disable_payload_signing()
                .config_override(with_attempt_timeout(upload_timeout(part.len())))
                .send()
        })
        .await?;
    Ok(CompletedPart::builder()
        .part_number(number)
        .set_e_tag(taken.e_tag)
        .set_checksum_crc32(taken.checksum_crc32)
        .build())
}

/// The smallest part size with which the object fits into [`MAX_PARTS`]. The announced size can be relied on: an object
/// that exceeds it is refused, except for the framing of a form, which the extra mebibyte covers.
pub(super) fn part_bytes(size_hint: SizeHint) -> usize {
    let max_bytes = size_hint
        .announced
        .unwrap_or(size_hint.max)
        .min(size_hint.max);
    let min_part_bytes = max_bytes
        .saturating_add(MEBIBYTE)
        .div_ceil(MAX_PARTS)
        .div_ceil(MEBIBYTE)
        * MEBIBYTE;
    usize::try_from(min_part_bytes.max(PART_BYTES)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_size_grows_with_the_maximum_size_of_the_object() {
        let bytes = |announced, max| part_bytes(SizeHint { announced, max }) as u64;
        assert_eq!(bytes(Some(10), 10 << 30), 8 * MEBIBYTE);
        assert_eq!(bytes(None, 10 << 30), 8 * MEBIBYTE);
        assert_eq!(bytes(None, 1 << 40), 105 * MEBIBYTE);
        assert_eq!(bytes(Some(1 << 40), 1 << 30), 8 * MEBIBYTE);
        for max in [1 << 37, 1 << 40, 5 << 40] {
            assert!(bytes(None, max) * MAX_PARTS >= max);
        }
    }
}
