//! The checksum that is sent with the bytes of an object or part.
//!
//! CRC-32 is the cheapest to compute. Stores that do not know its header refuse the request (Backblaze B2 with 400,
//! older Cloudflare R2 with 501); from then on they get Content-MD5 (RFC 1864), which S3 has always supported.

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use md5::{Digest as _, Md5};

use super::{S3Store, failure::classify};
use crate::StorageError;

/// The kind of checksum.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum BodyChecksum {
    /// `x-amz-checksum-crc32`.
    Crc32,
    /// `Content-MD5`.
    Md5,
}

/// The checksum of some bytes, in base64. It is sent in a header: a trailer, which the SDK would use, requires
/// chunked encoding of the body.
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
    pub(super) fn compute(self, bytes: &[u8]) -> Checksum {
        match self {
            Self::Crc32 => Checksum::Crc32(STANDARD.encode(crc32fast::hash(bytes).to_be_bytes())),
            Self::Md5 => Checksum::Md5(STANDARD.encode(Md5::digest(bytes))),
        }
    }
}

/// The kind of checksum that a store accepts, as far as it is known. Clones share this state.
#[derive(Clone, Debug)]
pub(super) struct ChecksumSupport {
    is_md5: Arc<AtomicBool>,
}

impl ChecksumSupport {
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

    /// Records that the store accepted a body with Content-MD5 after refusing it with CRC-32.
    pub(super) fn switch_to_md5(&self) {
        if !self.is_md5.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the object store refuses x-amz-checksum-crc32; Content-MD5 is sent from now on \
                 (set AWS_REQUEST_CHECKSUM_CALCULATION=when_required to send it from the start)"
            );
        }
    }
}

/// The error codes with which stores refuse a header that they do not know.
const UNKNOWN_HEADER_CODES: [&str; 5] = [
    "InvalidArgument",
    "InvalidRequest",
    "NotImplemented",
    "UnsupportedArgument",
    "UnsupportedHeader",
];

/// Whether the store may have refused the request because it does not know a header.
pub(super) fn may_be_unknown_header<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    let SdkError::ServiceError(answer) = error else {
        return false;
    };
    let status = answer.raw().status().as_u16();
    let code = error.code().unwrap_or_default();
    status == 501 || (status == 400 && UNKNOWN_HEADER_CODES.contains(&code))
}

impl S3Store {
    /// Sends bytes with the checksum that the store accepts. Repeats the request with Content-MD5 if the store may have
    /// refused the header of the CRC-32.
    pub(super) async fn with_checksum<T, E, F>(
        &self,
        bytes: &[u8],
        send: impl Fn(&Checksum) -> F,
    ) -> Result<T, StorageError>
    where
        E: ProvideErrorMetadata + Error + 'static,
        F: Future<Output = Result<T, SdkError<E>>>,
    {
        let kind = self.checksum.kind();
        let refused = match send(&kind.compute(bytes)).await {
            Ok(taken) => return Ok(taken),
            Err(error) => error,
        };
        if kind == BodyChecksum::Crc32 && may_be_unknown_header(&refused) {
            match send(&BodyChecksum::Md5.compute(bytes))
                .await
                .map_err(|error| classify(&error))
            {
                Ok(taken) => {
                    self.checksum.switch_to_md5();
                    return Ok(taken);
                }
                Err(error) if error.is_transient() => return Err(error),
                Err(_) => {}
            }
        }
        Err(classify(&refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_match_the_test_vectors_of_the_standards() {
        // The check value of CRC-32 (ISO 3309), and RFC 1321, A.5.
        let crc32 = BodyChecksum::Crc32.compute(b"123456789").crc32();
        assert_eq!(crc32.unwrap(), STANDARD.encode([0xcb, 0xf4, 0x39, 0x26]));
        let md5 = BodyChecksum::Md5.compute(b"abc").md5().unwrap();
        assert_eq!(md5, "kAFQmDzST7DWlj99KOF/cg==");
    }
}
