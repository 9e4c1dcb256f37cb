//! Writing one object to S3: whole if it is small, else in parts, several on their way at once.

use std::{error::Error, sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_s3::{
    error::{ProvideErrorMetadata, SdkError},
    primitives::ByteStream,
    types::{CompletedMultipartUpload, CompletedPart},
};
use bytes::{Buf as _, Bytes};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    task::JoinSet,
    time::timeout,
};

use super::{
    Budget, MEBIBYTE, S3Store,
    checksum::{BodyChecksum, Checksum, may_be_about_header},
    classify,
    connect::within,
    part_buffer::PartBuffer,
    time_for,
    uploaded_parts::Parts,
};
use crate::{BlobWriter, SizeHint, StorageError};
use media_domain::blob::{ResumeLocation, ResumePoint};

/// The size of a part, unless the object would then have too many. All parts of an object but the
/// last are of one size, which some stores insist on.
pub(super) const PART_BYTES: u64 = 8 * MEBIBYTE;
/// The most parts of one object (Amazon S3 User Guide, «multipart upload limits»).
const MAX_PARTS: u64 = 10_000;
/// The most parts of one object on their way at once.
const PARTS_IN_FLIGHT: usize = 4;
/// What a writer may hold without a share of the budget, so that small objects never wait for one.
const FREE_BYTES: usize = 256 * 1024;
/// How long the store may take to put an object together from its parts.
const COMPLETE_TIMEOUT: Duration = Duration::from_mins(2);
/// What of the budget is enough where parts fill and leave at the pace of a network, in mebibytes.
const USUAL_MEBIBYTES: u32 = 32;
/// How long a writer waits for its share of that before it takes one of the rest.
const USUAL_WAIT: Duration = Duration::from_secs(3);
/// How long a writer waits for a share: others that fill theirs slowly may have taken them all.
const SHARE_TIMEOUT: Duration = Duration::from_mins(1);

/// Writes one object. Parts are sent while the next one fills; the budget bounds them all.
pub(super) struct S3Writer {
    store: S3Store,
    key: String,
    part_bytes: usize,
    written: u64,
    /// What came before there was a part.
    first: Vec<u8>,
    part: Option<Filling>,
    upload: Option<Upload>,
}

/// A part that fills, and its share of the budget.
struct Filling {
    buffer: PartBuffer,
    share: OwnedSemaphorePermit,
}

/// An upload in parts.
struct Upload {
    id: String,
    started: i32,
    /// Dropping it ends the requests.
    in_flight: JoinSet<Result<CompletedPart, StorageError>>,
    parts: Parts,
}

impl S3Writer {
    /// Goes on with an upload, if the store has its first parts just as they were.
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

    /// The part that fills; waits for its share of the budget.
    async fn filling(&mut self) -> Result<&mut Filling, StorageError> {
        let filling = if let Some(filling) = self.part.take() {
            filling
        } else {
            let share = self.store.budget.share(self.part_bytes).await?;
            let mut buffer = PartBuffer::new(self.part_bytes)?;
            buffer.fill(&std::mem::take(&mut self.first));
            Filling { buffer, share }
        };
        Ok(self.part.insert(filling))
    }

    /// Sends the part on its way.
    async fn send_part(&mut self) -> Result<(), StorageError> {
        let Some(Filling { buffer, share }) = self.part.take() else {
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
        while upload.in_flight.len() >= PARTS_IN_FLIGHT {
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

    /// Sends the rest and has the store put the parts together.
    async fn finish_upload(&mut self) -> Result<(), StorageError> {
        if !self.first.is_empty() {
            self.filling().await?;
        }
        self.send_part().await?;
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        upload.join_all().await?;
        let (id, parts) = (upload.id.clone(), std::mem::take(&mut upload.parts));
        let parts = parts.into_ordered();
        self.complete(&id, parts).await?;
        self.end_lost_uploads().await;
        Ok(())
    }

    /// Ends what was begun for the same object by a request whose answer was lost: nobody else would,
    /// for as long as the object lives.
    async fn end_lost_uploads(&self) {
        if let Err(error) = self.store.abort_uploads(&self.key).await {
            tracing::warn!(key = self.key, %error, "an upload in parts may have been left open");
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
            StorageError::Unavailable("the object store began an upload without a name".to_owned())
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
            Some(Filling { buffer, share }) => (buffer.into_bytes(), Some(share)),
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
                    .config_override(within(time_for(bytes.len())))
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
            .config_override(within(COMPLETE_TIMEOUT))
            .send()
            .await;
        match completed.map_err(|error| classify(&error)) {
            Ok(_) => Ok(()),
            // Completed by a try whose answer was lost; or aborted, and then it is not there.
            Err(StorageError::NotFound) => self.confirm().await,
            Err(error) => Err(error),
        }
    }

    /// Makes sure that the object is there, and whole.
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
    /// Waits for one of the parts on their way.
    async fn join_one(&mut self) -> Result<(), StorageError> {
        if let Some(joined) = self.in_flight.join_next().await {
            let completed = joined.map_err(std::io::Error::other)?;
            self.parts.add(completed?);
        }
        Ok(())
    }

    /// Takes note of the parts that have arrived.
    fn join_ready(&mut self) -> Result<(), StorageError> {
        while let Some(joined) = self.in_flight.try_join_next() {
            let completed = joined.map_err(std::io::Error::other)?;
            self.parts.add(completed?);
        }
        Ok(())
    }

    /// Waits for all of them.
    async fn join_all(&mut self) -> Result<(), StorageError> {
        while !self.in_flight.is_empty() {
            self.join_one().await?;
        }
        Ok(())
    }
}

impl Budget {
    /// So many mebibytes, of which those beyond the usual are held in reserve.
    pub(super) fn of(mebibytes: u32) -> Self {
        // One that does not fit into the reserve has to fit into the usual.
        let usual = if mebibytes < 2 * USUAL_MEBIBYTES {
            mebibytes
        } else {
            USUAL_MEBIBYTES
        };
        let semaphore = |mebibytes: u32| Arc::new(Semaphore::new(mebibytes as usize));
        Self {
            mebibytes: usual.max(mebibytes - usual),
            usual: semaphore(usual),
            reserve: semaphore(mebibytes - usual),
        }
    }

    /// Waits for a share for a part.
    async fn share(&self, part_bytes: usize) -> Result<OwnedSemaphorePermit, StorageError> {
        let mebibytes = u32::try_from(part_bytes as u64 / MEBIBYTE).unwrap_or(u32::MAX);
        let share = mebibytes.min(self.mebibytes);
        // Where there are not so many, that waits for good, and the other has them.
        let mut usual = std::pin::pin!(Arc::clone(&self.usual).acquire_many_owned(share));
        let taken = async {
            if let Ok(taken) = timeout(USUAL_WAIT, &mut usual).await {
                return taken;
            }
            let reserve = Arc::clone(&self.reserve).acquire_many_owned(share);
            tokio::select! {
                taken = usual => taken,
                taken = reserve => taken,
            }
        };
        match timeout(SHARE_TIMEOUT, taken).await {
            // The semaphores are never closed.
            Ok(share) => Ok(share.map_err(std::io::Error::other)?),
            Err(_) => Err(StorageError::Unavailable(
                "all of MEDIA_S3_BUFFER_BYTES is in use".to_owned(),
            )),
        }
    }
}

#[async_trait]
impl BlobWriter for S3Writer {
    async fn write(&mut self, mut chunk: Bytes) -> Result<(), StorageError> {
        self.written += chunk.len() as u64;
        if self.part.is_none() {
            let room = FREE_BYTES - self.first.len();
            let piece = chunk.split_to(room.min(chunk.len()));
            self.first.extend_from_slice(&piece);
        }
        while !chunk.is_empty() {
            let buffer = &mut self.filling().await?.buffer;
            let taken = buffer.fill(&chunk);
            chunk.advance(taken);
            if buffer.room() == 0 {
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
        // Whether an upload that failed is to be aborted depends on whose it is by now.
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

impl S3Store {
    /// Sends bytes with the checksum that the store takes; once more with Content-MD5 where it may have refused
    /// another.
    async fn with_checksum<T, E, F>(
        &self,
        bytes: &[u8],
        send: impl Fn(&Checksum) -> F,
    ) -> Result<T, StorageError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        let kind = self.checksum.kind();
        let refused = match send(&kind.of(bytes)).await {
            Ok(taken) => return Ok(taken),
            Err(error) => error,
        };
        if kind == BodyChecksum::Crc32 && may_be_about_header(&refused) {
            match send(&BodyChecksum::Md5.of(bytes))
                .await
                .map_err(|error| classify(&error))
            {
                Ok(taken) => {
                    self.checksum.prefers_md5();
                    return Ok(taken);
                }
                Err(error) if error.is_transient() => return Err(error),
                Err(_) => {}
            }
        }
        Err(classify(&refused))
    }
}

/// The payload itself is not signed: hashing it once more would cost more than all else.
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
                .config_override(within(time_for(part.len())))
                .send()
        })
        .await?;
    Ok(CompletedPart::builder()
        .part_number(number)
        .set_e_tag(taken.e_tag)
        .set_checksum_crc32(taken.checksum_crc32)
        .build())
}

/// Parts as small as they can be: what is announced is not to be relied on, but an object that
/// becomes larger than announced is refused anyway, or larger by the frame of a form at most.
pub(super) fn part_bytes(size_hint: SizeHint) -> usize {
    let most = size_hint
        .announced
        .unwrap_or(size_hint.max)
        .min(size_hint.max);
    let least = most
        .saturating_add(MEBIBYTE)
        .div_ceil(MAX_PARTS)
        .div_ceil(MEBIBYTE)
        * MEBIBYTE;
    usize::try_from(least.max(PART_BYTES)).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_with_what_may_come() {
        let bytes = |announced, most| {
            part_bytes(SizeHint {
                announced,
                max: most,
            }) as u64
        };
        assert_eq!(bytes(Some(10), 10 << 30), 8 * MEBIBYTE);
        assert_eq!(bytes(None, 10 << 30), 8 * MEBIBYTE);
        assert_eq!(bytes(None, 1 << 40), 105 * MEBIBYTE);
        assert_eq!(bytes(Some(1 << 40), 1 << 30), 8 * MEBIBYTE);
        for most in [1 << 37, 1 << 40, 5 << 40] {
            assert!(bytes(None, most) * MAX_PARTS >= most);
        }
    }
}
