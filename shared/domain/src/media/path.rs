//! The place of a media: a resource and, optionally, a key within it, which may have several segments.

use serde::{Deserialize, Serialize};

use crate::name_rules::{NameError, check_segment, check_segments};

/// The place of a media. One path names one media of a project.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "UncheckedPath")]
pub struct MediaPath {
    resource: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

#[derive(Deserialize)]
struct UncheckedPath {
    resource: String,
    #[serde(default)]
    key: Option<String>,
}

/// A part of a path that cannot be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` {error}")]
pub struct PathError {
    /// The part: `resource` or `key`.
    pub field: &'static str,
    /// The rule that it breaks.
    pub error: NameError,
}

impl TryFrom<UncheckedPath> for MediaPath {
    type Error = PathError;

    fn try_from(path: UncheckedPath) -> Result<Self, PathError> {
        Self::new(&path.resource, path.key.as_deref())
    }
}

impl MediaPath {
    /// Checks both parts: the resource is a name and one segment of a path; the key is a name of one segment or more,
    /// separated by `/`.
    pub fn new(resource: &str, key: Option<&str>) -> Result<Self, PathError> {
        let in_field = |field| move |error| PathError { field, error };
        check_segment(resource).map_err(in_field("resource"))?;
        if let Some(key) = key {
            check_segments(key).map_err(in_field("key"))?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_have_several_segments_and_a_resource_has_one() {
        for key in ["2026/june/1.jpg", "a/b", "a/.../b", "a/-/%2e"] {
            let path = MediaPath::new("albums", Some(key)).unwrap();
            assert_eq!(path.key(), Some(key));
            assert!(MediaPath::new(key, None).is_err(), "{key}");
        }
    }

    #[test]
    fn a_path_refuses_whatever_could_leave_its_segment() {
        for bad in [
            "",
            ".",
            "..",
            "/a",
            "a/",
            "a//b",
            "a/../b",
            "./a",
            "a/ b",
            "..\\a",
            "a\0b",
            "a\nb",
            " a",
            "a ",
            "\u{202e}gpj",
        ] {
            assert!(MediaPath::new(bad, None).is_err(), "{bad:?} as resource");
            assert!(MediaPath::new("r", Some(bad)).is_err(), "{bad:?} as key");
            let stored = serde_json::json!({ "resource": "r", "key": bad });
            assert!(
                serde_json::from_value::<MediaPath>(stored).is_err(),
                "{bad:?}"
            );
        }
        assert!(MediaPath::new(&"x".repeat(256), None).is_err());
        assert!(MediaPath::new("r", Some(&"x/".repeat(128))).is_err());
        for good in ["a", "users", "Ünïcode 名", "a:b@c", "...", "-", "%2e%2e"] {
            assert!(MediaPath::new(good, Some(good)).is_ok(), "{good:?}");
        }
    }
}
