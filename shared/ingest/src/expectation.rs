//! The size and the digests that bytes must have.

use media_domain::media::{ExpectedDigests, Md5, Sha256, Sha512};

use super::{IngestError, digests};

/// The properties that the bytes must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expectation {
    /// The most bytes.
    pub max_bytes: u64,
    /// The exact number of bytes.
    pub size: Option<u64>,
    /// The exact SHA-256 digest.
    pub sha256: Option<Sha256>,
    /// The exact SHA-512 digest.
    pub sha512: Option<Sha512>,
    /// The exact MD5 digest.
    pub md5: Option<Md5>,
}

impl Expectation {
    /// Expects these digests.
    #[must_use]
    pub fn with_digests(self, digests: ExpectedDigests) -> Self {
        let ExpectedDigests {
            sha256,
            sha512,
            md5,
        } = digests;
        Self {
            sha256,
            sha512,
            md5,
            ..self
        }
    }

    /// Refuses an announced size before the bytes come.
    pub fn check_announced(&self, size: u64) -> Result<(), IngestError> {
        self.check_so_far(size)?;
        self.check_size(size)
    }

    pub(super) fn check_so_far(&self, size: u64) -> Result<(), IngestError> {
        if size > self.max_bytes {
            return Err(IngestError::TooLarge {
                limit: self.max_bytes,
            });
        }
        match self.size {
            Some(expected) if size > expected => Err(IngestError::SizeMismatch {
                expected,
                actual: size,
            }),
            _ => Ok(()),
        }
    }

    pub(super) fn check_size(&self, actual: u64) -> Result<(), IngestError> {
        match self.size {
            Some(expected) if actual != expected => {
                Err(IngestError::SizeMismatch { expected, actual })
            }
            _ => Ok(()),
        }
    }
    /// Checks the size and the SHA-256 digest of bytes that were stored.
    pub fn check_whole(&self, size: u64, sha256: Sha256) -> Result<(), IngestError> {
        self.check_size(size)?;
        digests::compare("sha256", self.sha256, || sha256)
    }
}
