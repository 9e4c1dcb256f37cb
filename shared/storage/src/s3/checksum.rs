//! The checksum that a store gets with the bytes of an object or part.
//!
//! CRC-32 costs least. Stores that do not know its header refuse the request (Backblaze B2 with 400, older
//! Cloudflare R2 with 501); they are given Content-MD5 (RFC 1864) from then on, which S3 has had from its beginning.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};

/// The kind of checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyChecksum {
    /// `x-amz-checksum-crc32`.
    Crc32,
    /// `Content-MD5`.
    Md5,
}

/// The checksum of some bytes, as base64. Sent ahead of them: behind them, as the SDK would do it, the body has to
/// be cut into chunks and put together again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Checksum {
    Crc32(String),
    Md5(String),
}

impl Checksum {
    pub(super) fn crc32(&self) -> Option<String> {
        match self {
            Self::Crc32(text) => Some(text.clone()),
            Self::Md5(_) => None,
        }
    }

    pub(super) fn md5(&self) -> Option<String> {
        match self {
            Self::Crc32(_) => None,
            Self::Md5(text) => Some(text.clone()),
        }
    }
}

impl BodyChecksum {
    pub(super) fn of(self, bytes: &[u8]) -> Checksum {
        match self {
            Self::Crc32 => Checksum::Crc32(STANDARD.encode(crc32fast::hash(bytes).to_be_bytes())),
            Self::Md5 => Checksum::Md5(STANDARD.encode(Md5::digest(bytes))),
        }
    }
}

/// The kind of checksum that a store takes, as far as it is known. Clones share it.
#[derive(Clone, Debug)]
pub(super) struct TakenChecksum {
    is_md5: Arc<AtomicBool>,
}

impl TakenChecksum {
    pub(super) fn new(kind: BodyChecksum) -> Self {
        Self {
            is_md5: Arc::new(AtomicBool::new(kind == BodyChecksum::Md5)),
        }
    }

    pub(super) fn kind(&self) -> BodyChecksum {
        if self.is_md5.load(Ordering::Relaxed) {
            BodyChecksum::Md5
        } else {
            BodyChecksum::Crc32
        }
    }

    /// The store has taken a body with Content-MD5 that it had refused with CRC-32.
    pub(super) fn prefers_md5(&self) {
        if !self.is_md5.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the object store refuses x-amz-checksum-crc32; it gets Content-MD5 from now on \
                 (AWS_REQUEST_CHECKSUM_CALCULATION=when_required does so from the start)"
            );
        }
    }
}

/// Codes of refusals of a header that a store does not know.
const UNKNOWN_HEADER: [&str; 5] = [
    "InvalidArgument",
    "InvalidRequest",
    "NotImplemented",
    "UnsupportedArgument",
    "UnsupportedHeader",
];

/// Whether a refusal may be about a header that the store does not know.
pub(super) fn may_be_about_header<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let SdkError::ServiceError(answer) = error else {
        return false;
    };
    let status = answer.raw().status().as_u16();
    let code = error.code().unwrap_or_default();
    status == 501 || (status == 400 && UNKNOWN_HEADER.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_the_standards() {
        // The check value of CRC-32 (ISO 3309), and RFC 1321, A.5.
        let crc32 = BodyChecksum::Crc32.of(b"123456789").crc32();
        assert_eq!(crc32.unwrap(), STANDARD.encode([0xcb, 0xf4, 0x39, 0x26]));
        let md5 = BodyChecksum::Md5.of(b"abc").md5().unwrap();
        assert_eq!(md5, "kAFQmDzST7DWlj99KOF/cg==");
    }
}
