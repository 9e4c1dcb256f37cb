//! Media ranges: the media types that a client accepts.

use serde::{Deserialize, Serialize};

/// The maximum length of a range, in bytes.
const MAX_RANGE_BYTES: usize = 127;

/// A media type, or all subtypes of a type: `image/png`, `image/*`, `*/*` (RFC 9110 §12.5.1), without parameters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct MediaRange(String);

/// The error for a text that is not a media range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a media type such as image/png, image/* or */*")]
pub struct MediaRangeError;

impl TryFrom<String> for MediaRange {
    type Error = MediaRangeError;

    fn try_from(text: String) -> Result<Self, MediaRangeError> {
        Self::new(&text)
    }
}

impl MediaRange {
    /// Parses a range. Upper case and surrounding white space are accepted.
    pub fn new(text: &str) -> Result<Self, MediaRangeError> {
        let text = text.trim().to_ascii_lowercase();
        let is_token = |part: &str| {
            let symbols = "!#$&-^_.+";
            let known = |c: char| c.is_ascii_alphanumeric() || symbols.contains(c);
            !part.is_empty() && part.chars().all(known)
        };
        let (kind, subtype) = text.split_once('/').ok_or(MediaRangeError)?;
        let valid = match (kind, subtype) {
            ("*", "*") => true,
            (kind, "*") => is_token(kind),
            (kind, subtype) => is_token(kind) && is_token(subtype),
        };
        if valid && text.len() <= MAX_RANGE_BYTES {
            Ok(Self(text))
        } else {
            Err(MediaRangeError)
        }
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether a media type matches the range.
    pub fn covers(&self, mime: &str) -> bool {
        match self.0.strip_suffix('*') {
            Some("*/") => true,
            Some(kind) => mime.starts_with(kind),
            None => mime == self.0,
        }
    }
}
