//! The name that a media is offered under.

use serde::{Deserialize, Serialize};

use crate::name_rules::{
    MAX_NAME_BYTES, NameError, check_segment, is_invisible_mark, is_unsafe_character,
};

/// The name that a media is offered under for download: one segment of a path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String")]
pub struct Filename(String);

impl TryFrom<String> for Filename {
    type Error = NameError;

    fn try_from(name: String) -> Result<Self, NameError> {
        Self::new(&name)
    }
}

impl Filename {
    /// Takes a name exactly as it is, or refuses it.
    pub fn new(name: &str) -> Result<Self, NameError> {
        check_segment(name).map(|()| Self(name.to_owned()))
    }

    /// Makes a name of the text that an origin sent: its last segment, cleaned and shortened, with its extension kept.
    /// None if nothing is left.
    pub fn from_untrusted(text: &str) -> Option<Self> {
        let last = text.rsplit(['/', '\\']).next().unwrap_or_default();
        let is_unsafe = |c: &char| is_unsafe_character(*c) || is_invisible_mark(*c);
        let clean: String = last.chars().filter(|c| !is_unsafe(c)).collect();
        Self::new(shorten(clean.trim()).trim()).ok()
    }

    /// The name of bytes that came without one.
    pub fn download() -> Self {
        Self("download".to_owned())
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text behind the last dot, if there is text before it.
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

#[cfg(test)]
mod tests {
    use super::*;

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
