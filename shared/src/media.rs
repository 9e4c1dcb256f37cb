//! What a media is called and how it is recognised: the names and digests that the rest relies on.

use std::fmt;

use serde::{Deserialize, Serialize};

mod precondition;

pub use precondition::{PreconditionFailed, WritePrecondition};

/// The longest `resource`, `key` and `filename`, in bytes.
pub const MAX_NAME_BYTES: usize = 255;

/// A name that cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("must not be empty")]
    Empty,
    /// Longer than [`MAX_NAME_BYTES`].
    #[error("must not be longer than {MAX_NAME_BYTES} bytes")]
    TooLong,
    /// NUL, line breaks and the like, or marks that turn the direction of writing around.
    #[error("must not contain control characters")]
    Control,
    /// `/` or `\`.
    #[error("must not contain `/` or `\\`")]
    Separator,
    /// `.` or `..`.
    #[error("must not be `.` or `..`")]
    Dots,
    /// Blank at either end.
    #[error("must not start or end with a blank")]
    Blank,
}

/// Checks a text that stands for one segment of a path.
fn check_segment(text: &str) -> Result<(), NameError> {
    if text.is_empty() {
        Err(NameError::Empty)
    } else if text.len() > MAX_NAME_BYTES {
        Err(NameError::TooLong)
    } else if text.chars().any(is_unsafe_character) {
        Err(NameError::Control)
    } else if text.contains(['/', '\\']) {
        Err(NameError::Separator)
    } else if text == "." || text == ".." {
        Err(NameError::Dots)
    } else if text.trim() != text {
        Err(NameError::Blank)
    } else {
        Ok(())
    }
}

/// Control characters, and the bidirectional marks of Unicode UAX #9 that can make a name read
/// backwards (`gpj.exe` shown as `exe.jpg`).
fn is_unsafe_character(c: char) -> bool {
    c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// The other marks that change the reading direction (Unicode's `Bidi_Control`) and the separators of
/// lines. Clients may use them in names of their own; foreign names are cleared of them.
fn is_invisible_mark(c: char) -> bool {
    matches!(
        c,
        '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}' | '\u{2029}'
    )
}

/// Where a media is kept: a resource and, optionally, a key within it. One path names one media.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct MediaPath {
    resource: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl MediaPath {
    /// Checks both names: each 1 to 255 bytes, one segment of a path, without control characters.
    /// On error, says which field is meant.
    pub fn new(resource: &str, key: Option<&str>) -> Result<Self, (&'static str, NameError)> {
        check_segment(resource).map_err(|error| ("resource", error))?;
        if let Some(key) = key {
            check_segment(key).map_err(|error| ("key", error))?;
        }
        Ok(Self {
            resource: resource.to_owned(),
            key: key.map(str::to_owned),
        })
    }

    /// The resource.
    pub fn resource(&self) -> &str {
        &self.resource
    }

    /// The key within the resource.
    pub fn key(&self) -> Option<&str> {
        self.key.as_deref()
    }
}

/// The name that a media is offered under for download: no path, no control characters.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Filename(String);

impl Filename {
    /// Takes a name exactly as it is, or refuses it.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check_segment(name).map(|()| Self(name.to_owned()))
    }

    /// Makes a name of what an origin sent: the last segment, cleaned and shortened (the extension
    /// is kept); nothing if nothing is left.
    pub fn from_untrusted(text: &str) -> Option<Self> {
        let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
        let is_unsafe = |c: &char| is_unsafe_character(*c) || is_invisible_mark(*c);
        let clean: String = last.chars().filter(|c| !is_unsafe(c)).collect();
        Self::new(shorten(clean.trim()).trim()).ok()
    }

    /// The name of bytes that nobody named.
    pub fn download() -> Self {
        Self("download".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands behind the last dot, if something stands before it.
    pub fn extension(&self) -> Option<&str> {
        self.0
            .rsplit_once('.')
            .filter(|(stem, extension)| !stem.is_empty() && !extension.is_empty())
            .map(|(_, extension)| extension)
    }
}

/// Cuts a name to [`MAX_NAME_BYTES`], taking from the stem before the extension.
fn shorten(name: &str) -> String {
    if name.len() <= MAX_NAME_BYTES {
        return name.to_owned();
    }
    let extension = name
        .rsplit_once('.')
        .map(|(_, extension)| extension)
        .filter(|extension| extension.len() <= 16)
        .map(|extension| format!(".{extension}"))
        .unwrap_or_default();
    let mut end = MAX_NAME_BYTES - extension.len();
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}{extension}", &name[..end])
}

/// A SHA-256 digest. Shown as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Sha256([u8; 32]);

/// A text that is no SHA-256 digest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be 64 hexadecimal digits")]
pub struct Sha256Error;

impl Sha256 {
    /// Takes the bytes of a digest.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Reads 64 hexadecimal digits of either case.
    pub fn from_hex(text: &str) -> Result<Self, Sha256Error> {
        let mut bytes = [0; 32];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| Sha256Error)?;
        Ok(Self(bytes))
    }
}

impl fmt::Display for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for Sha256 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sha256({self})")
    }
}

impl Serialize for Sha256 {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Sha256 {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_hex(&text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_refuses_whatever_could_leave_its_segment() {
        for bad in [
            "",
            ".",
            "..",
            "a/b",
            "..\\a",
            "a\0b",
            "a\nb",
            " a",
            "a ",
            "\u{202e}gpj",
        ] {
            assert!(MediaPath::new(bad, None).is_err(), "{bad:?} as resource");
            assert!(MediaPath::new("r", Some(bad)).is_err(), "{bad:?} as key");
        }
        assert!(MediaPath::new(&"x".repeat(256), None).is_err());
        for good in ["a", "users", "Ünïcode 名", "a:b@c", "...", "-", "%2e%2e"] {
            assert!(MediaPath::new(good, Some(good)).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn an_untrusted_name_keeps_its_last_segment_only() {
        let name = |text: &str| Filename::from_untrusted(text).map(|name| name.0);
        assert_eq!(name("../../etc/passwd").as_deref(), Some("passwd"));
        assert_eq!(name("C:\\temp\\a.jpg").as_deref(), Some("a.jpg"));
        assert_eq!(name("a\0b\r\n.jpg").as_deref(), Some("ab.jpg"));
        assert_eq!(name(".."), None);
        assert_eq!(name(""), None);
        let long = name(&format!("{}.jpeg", "é".repeat(400))).unwrap();
        assert!(
            long.len() <= MAX_NAME_BYTES && long.ends_with("é.jpeg"),
            "{long}"
        );
    }
}
