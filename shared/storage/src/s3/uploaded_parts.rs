//! The parts of an upload that the store has accepted, and the contiguous run at their beginning, from which a later
//! writer can resume.

use std::collections::BTreeMap;

use aws_sdk_s3::types::CompletedPart;
use sha2::Digest as _;

use super::{S3Store, classify, is_unsupported};
use crate::StorageError;
use media_domain::{
    blob::{ResumeLocation, ResumePoint},
    media::Sha256,
};

/// The accepted parts of an upload.
#[derive(Default)]
pub(super) struct Parts {
    /// The accepted parts by their numbers, from 1.
    accepted: BTreeMap<i32, CompletedPart>,
    /// The length of the contiguous run that begins with the first part.
    contiguous: i32,
    /// The digest of the entity tags of that run.
    tags: sha2::Sha256,
}

impl Parts {
    pub(super) fn add(&mut self, part: CompletedPart) {
        self.accepted
            .insert(part.part_number().unwrap_or_default(), part);
        while let Some(next) = self.accepted.get(&(self.contiguous + 1)) {
            self.contiguous += 1;
            self.tags.update(next.e_tag().unwrap_or_default());
            self.tags.update(b"\n");
        }
    }

    /// The point from which a later writer can resume, if any.
    pub(super) fn resume_point(&self, upload: &str, part_bytes: u64) -> Option<ResumePoint> {
        (self.contiguous > 0).then(|| ResumePoint {
            bytes: u64::from(self.contiguous.unsigned_abs()) * part_bytes,
            location: ResumeLocation::S3 {
                upload: upload.to_owned(),
                part_bytes,
                tags: self.digest(),
            },
        })
    }

    pub(super) fn into_ordered(self) -> Vec<CompletedPart> {
        self.accepted.into_values().collect()
    }

    fn digest(&self) -> Sha256 {
        Sha256::from_bytes(self.tags.clone().finalize().into())
    }
}

impl S3Store {
    /// Returns the first parts of an upload, if the store still has them unchanged.
    pub(super) async fn find_parts(
        &self,
        key: &str,
        resume_point: &ResumePoint,
    ) -> Result<Option<Parts>, StorageError> {
        let ResumeLocation::S3 {
            upload,
            part_bytes,
            tags,
        } = &resume_point.location
        else {
            return Ok(None);
        };
        let expected = resume_point
            .bytes
            .checked_div(*part_bytes)
            .unwrap_or_default();
        let mut found = Parts::default();
        let mut marker = None;
        loop {
            let listed = self
                .client
                .list_parts()
                .bucket(&self.bucket)
                .key(key)
                .upload_id(upload)
                .set_part_number_marker(marker)
                .send()
                .await;
            let page = match listed {
                Ok(page) => page,
                // The parts cannot be verified: the import starts again.
                Err(error) if is_unsupported(&error) => return Ok(None),
                Err(error) => match classify(&error) {
                    StorageError::NotFound => return Ok(None),
                    error => return Err(error),
                },
            };
            for part in page.parts() {
                let number = u64::try_from(part.part_number().unwrap_or_default()).unwrap_or(0);
                let whole =
                    part.size().and_then(|size| u64::try_from(size).ok()) == Some(*part_bytes);
                if (1..=expected).contains(&number) && whole {
                    found.add(
                        CompletedPart::builder()
                            .set_part_number(part.part_number())
                            .set_e_tag(part.e_tag().map(str::to_owned))
                            .set_checksum_crc32(part.checksum_crc32().map(str::to_owned))
                            .build(),
                    );
                }
            }
            marker = page.next_part_number_marker().map(str::to_owned);
            if page.is_truncated() != Some(true) || marker.is_none() {
                break;
            }
        }
        let is_the_same =
            u64::from(found.contiguous.unsigned_abs()) == expected && found.digest() == *tags;
        Ok(is_the_same.then_some(found))
    }
}
