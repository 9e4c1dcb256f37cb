//! The type of a field's values: parsing from queries and cursors, and the schema in OpenAPI.

use chrono::{DateTime, Utc};
use media_shared::clock::to_rfc3339;
use poem_openapi::registry::MetaSchema;
use sea_orm::Value;
use serde_json::Value as Json;
use uuid::Uuid;

use crate::time::parse_in_query;

/// The type of a field's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ValueType {
    /// A UUID.
    Id,
    /// Any text.
    Text,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// A whole number.
    Integer,
    /// `true` or `false`.
    Boolean,
    /// RFC 3339 with a zone.
    Time,
    /// An object, which has no filters and is no sort key.
    Object,
}

impl ValueType {
    /// Parses a value of a query. The error states the rule.
    pub(crate) fn parse(self, text: &str) -> Result<Value, String> {
        match self {
            Self::Id => Uuid::try_parse(text)
                .map(Value::from)
                .map_err(|_| "must be a UUID".to_owned()),
            // PostgreSQL does not accept NUL in text.
            Self::Text if text.contains('\0') => Err("must not contain NUL".to_owned()),
            Self::Text => Ok(text.into()),
            Self::OneOf(values) if values.contains(&text) => Ok(text.into()),
            Self::OneOf(values) => Err(format!("must be one of {}", values.join(", "))),
            Self::Integer => text
                .parse::<i64>()
                .map(Value::from)
                .map_err(|_| "must be a whole number".to_owned()),
            Self::Boolean => text
                .parse::<bool>()
                .map(Value::from)
                .map_err(|_| "must be true or false".to_owned()),
            Self::Time => parse_in_query(text).map(Value::from),
            Self::Object => Err("cannot be compared".to_owned()),
        }
    }

    /// The SQL null of this type.
    pub(crate) fn null(self) -> Value {
        match self {
            Self::Id => Value::Uuid(None),
            Self::Text | Self::OneOf(_) | Self::Object => Value::String(None),
            Self::Integer => Value::BigInt(None),
            Self::Boolean => Value::Bool(None),
            Self::Time => Value::ChronoDateTimeUtc(None),
        }
    }

    /// Parses a value of a cursor, which has the form of values in documents.
    pub(crate) fn parse_json(self, json: &Json) -> Option<Value> {
        match json {
            Json::Null => Some(self.null()),
            Json::String(text) => self.parse(text).ok(),
            Json::Number(_) | Json::Bool(_) => self.parse(&json.to_string()).ok(),
            Json::Array(_) | Json::Object(_) => None,
        }
    }

    /// The schema in OpenAPI.
    pub(crate) fn schema(self) -> MetaSchema {
        match self {
            Self::Id => MetaSchema::new_with_format("string", "uuid"),
            Self::Text => MetaSchema {
                pattern: Some("^[^\\u0000]*$".to_owned()),
                ..MetaSchema::new("string")
            },
            Self::OneOf(values) => MetaSchema {
                enum_items: values.iter().map(|value| (*value).into()).collect(),
                ..MetaSchema::new("string")
            },
            Self::Integer => MetaSchema::new_with_format("integer", "int64"),
            Self::Boolean => MetaSchema::new("boolean"),
            Self::Time => MetaSchema::new_with_format("string", "date-time"),
            Self::Object => MetaSchema::new("object"),
        }
    }
}

/// Formats a time for a document.
pub(crate) fn time(time: DateTime<Utc>) -> Json {
    to_rfc3339(time).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_type_accepts_only_its_values() {
        for (value_type, good, bad) in [
            (ValueType::Id, "01a209d3-ac64-703f-91dc-9affcb76ba68", "x"),
            (ValueType::Text, "", "\0"),
            (ValueType::OneOf(&["a", "b"]), "b", "c"),
            (ValueType::Integer, "-5", "1.0"),
            (
                ValueType::Integer,
                "9223372036854775807",
                "9223372036854775808",
            ),
            (ValueType::Boolean, "true", "1"),
            (
                ValueType::Time,
                "2030-01-01T00:00:00+02:00",
                "2030-01-01T00:00:00",
            ),
            (
                ValueType::Time,
                "2030-01-01T00:00:00.123456789Z",
                "+12030-01-01T00:00:00Z",
            ),
        ] {
            assert!(value_type.parse(good).is_ok(), "{value_type:?} {good}");
            assert!(value_type.parse(bad).is_err(), "{value_type:?} {bad}");
        }
    }
}
