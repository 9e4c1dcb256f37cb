//! The data that a client keeps beside a media.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The most bytes of the object as JSON text.
pub const MAX_META_BYTES: usize = 16 * 1024;
/// The most levels of objects and arrays, with the object itself as the first.
pub const MAX_META_DEPTH: usize = 8;

/// The client's own JSON object beside a media.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value")]
pub struct ClientMeta(Map<String, Value>);

/// A value that cannot be kept beside a media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientMetaError {
    /// Not an object.
    #[error("must be a JSON object")]
    NoObject,
    /// Longer than [`MAX_META_BYTES`].
    #[error("must not have more than {MAX_META_BYTES} bytes as JSON")]
    TooLong,
    /// Deeper than [`MAX_META_DEPTH`].
    #[error("must not be nested deeper than {MAX_META_DEPTH} levels")]
    TooDeep,
    /// A text with the character NUL, which PostgreSQL does not store.
    #[error("must not contain the character NUL")]
    Nul,
}

impl ClientMeta {
    /// Checks a value.
    pub fn new(value: Value) -> Result<Self, ClientMetaError> {
        if depth_exceeds(&value, MAX_META_DEPTH) {
            return Err(ClientMetaError::TooDeep);
        }
        if has_nul(&value) {
            return Err(ClientMetaError::Nul);
        }
        if value.to_string().len() > MAX_META_BYTES {
            return Err(ClientMetaError::TooLong);
        }
        match value {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(ClientMetaError::NoObject),
        }
    }

    /// The object.
    pub fn into_json(self) -> Value {
        Value::Object(self.0)
    }
}

impl TryFrom<Value> for ClientMeta {
    type Error = ClientMetaError;

    fn try_from(value: Value) -> Result<Self, ClientMetaError> {
        Self::new(value)
    }
}

fn depth_exceeds(value: &Value, levels: usize) -> bool {
    let Some(below) = levels.checked_sub(1) else {
        return value.is_object() || value.is_array();
    };
    match value {
        Value::Array(items) => items.iter().any(|item| depth_exceeds(item, below)),
        Value::Object(members) => members.values().any(|item| depth_exceeds(item, below)),
        _ => false,
    }
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name.contains('\0') || has_nul(value)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn nested(levels: usize) -> Value {
        (1..levels).fold(json!({}), |inner, _| json!({ "a": inner }))
    }

    #[test]
    fn an_object_is_bounded_in_size_and_depth() {
        let error = |value| ClientMeta::new(value).err();
        assert_eq!(error(json!({ "a": [1, "b", null, { "c": true }] })), None);
        assert_eq!(error(json!([])), Some(ClientMetaError::NoObject));
        assert_eq!(error(Value::Null), Some(ClientMetaError::NoObject));
        assert_eq!(error(nested(8)), None);
        assert_eq!(error(nested(9)), Some(ClientMetaError::TooDeep));
        let long = |bytes: usize| json!({ "a": "x".repeat(bytes - r#"{"a":""}"#.len()) });
        assert_eq!(error(long(MAX_META_BYTES)), None);
        assert_eq!(
            error(long(MAX_META_BYTES + 1)),
            Some(ClientMetaError::TooLong)
        );
        assert_eq!(error(json!({ "a": ["\0"] })), Some(ClientMetaError::Nul));
        assert_eq!(error(json!({ "\0": 1 })), Some(ClientMetaError::Nul));
    }
}
