//! The identity of the content at a URL, and ranges of that content.

use hyper::header::{self, HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

use super::validator::Validator;

/// Tells the content of a URL from other content that may be there later.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ContentIdentity {
    /// The number of bytes, if the origin announces it.
    pub(crate) total: Option<u64>,
    /// Changes when the content changes.
    pub(crate) validator: Option<Validator>,
}

impl ContentIdentity {
    /// Whether ranges can be fetched that certainly belong to the same content.
    pub(crate) fn can_be_resumed(&self) -> bool {
        self.validator.is_some()
    }
}

/// The bytes from `start` to just before `end`, or to the last one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByteRange {
    pub(super) start: u64,
    pub(super) end: Option<u64>,
}

impl ByteRange {
    /// Returns `Range`, and `If-Range` so that it applies to the same content only (RFC 9110 §13.1.5).
    pub(super) fn headers(self, identity: &ContentIdentity) -> Option<HeaderMap> {
        let range = match self.end.and_then(|end| end.checked_sub(1)) {
            Some(last) => format!("bytes={}-{last}", self.start),
            None => format!("bytes={}-", self.start),
        };
        let mut headers = HeaderMap::new();
        headers.insert(header::RANGE, HeaderValue::try_from(range).ok()?);
        headers.insert(header::IF_RANGE, identity.validator.as_ref()?.to_header()?);
        Some(headers)
    }
}
