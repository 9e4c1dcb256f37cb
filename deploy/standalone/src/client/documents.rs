//! The resources in the service's documents.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// A resource object, whose attributes are shown as they are.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Resource {
    /// Its type, such as `media:jobs`.
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// Its id.
    pub(crate) id: String,
    /// Its attributes.
    #[serde(default)]
    pub(crate) attributes: Map<String, Value>,
    /// Relationships, links and other members.
    #[serde(flatten)]
    pub(crate) rest: Map<String, Value>,
}

impl Resource {
    /// An attribute as text that is safe to print on a terminal; empty if it is null.
    pub(crate) fn text(&self, name: &str) -> Cow<'_, str> {
        match self.attributes.get(name) {
            None | Some(Value::Null) => Cow::Borrowed(""),
            Some(Value::String(text)) => printable(text),
            Some(other) => Cow::Owned(printable(&other.to_string()).into_owned()),
        }
    }

    /// A numeric attribute.
    pub(crate) fn number(&self, name: &str) -> Option<u64> {
        self.attributes.get(name)?.as_u64()
    }

    /// The path of a media: its resource and key.
    pub(crate) fn media_path(&self) -> String {
        path_of(&Value::Object(self.attributes.clone()))
    }
}

/// The path that the attributes of a media, or the arguments of an import, name.
pub(crate) fn path_of(attributes: &Value) -> String {
    let text = |name: &str| attributes[name].as_str().unwrap_or_default();
    let path = match attributes["key"].as_str() {
        Some(key) => format!("{}/{key}", text("resource")),
        None => text("resource").to_owned(),
    };
    printable(&path).into_owned()
}

/// Names that origins and other callers have chosen, made safe to print.
pub(crate) mod names {
    pub(crate) use super::{escaped, path_of, printable};
}

/// Whether a character neither controls a terminal nor changes the direction of text.
fn is_shown(c: char) -> bool {
    !c.is_control()
        && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Replaces the characters that control a terminal or change the direction of text.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_shown) {
        return Cow::Borrowed(text);
    }
    let shown = |c| if is_shown(c) { c } else { '\u{fffd}' };
    Cow::Owned(text.chars().map(shown).collect())
}

/// Escapes the same characters in JSON, which holds them in texts only.
pub(crate) fn escaped(json: &str) -> Cow<'_, str> {
    // A line feed outside of texts is part of the layout; within them, JSON has none.
    let is_plain = |c| c == '\n' || is_shown(c);
    if json.chars().all(is_plain) {
        return Cow::Borrowed(json);
    }
    let escape = |text: String, c: char| {
        if is_plain(c) {
            return text + c.encode_utf8(&mut [0; 4]);
        }
        // All of them are in the basic plane.
        text + &format!("\\u{:04x}", u32::from(c))
    };
    Cow::Owned(json.chars().fold(String::new(), escape))
}

/// A job, with the attributes that following it needs.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Job {
    /// Its id.
    pub(crate) id: String,
    /// Its attributes.
    pub(crate) attributes: JobAttributes,
    #[serde(default)]
    relationships: Value,
}

/// The attributes of a job.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct JobAttributes {
    /// The state of the job.
    pub(crate) status: String,
    /// The number of bytes that the current attempt has fetched.
    pub(crate) bytes_done: u64,
    /// The size that the origin announced.
    pub(crate) bytes_total: Option<u64>,
    /// The number of attempts after the first.
    pub(crate) retry_count: u32,
    /// The stable code of the last failure.
    pub(crate) error: Option<String>,
    /// The sentence that explains the last failure.
    pub(crate) error_detail: Option<String>,
}

impl Job {
    /// Whether the job has ended.
    pub(crate) fn is_final(&self) -> bool {
        is_final(&self.attributes.status)
    }

    /// Whether the job has succeeded.
    pub(crate) fn has_succeeded(&self) -> bool {
        self.attributes.status == "succeeded"
    }

    /// The id of the media that the job has stored.
    pub(crate) fn media_id(&self) -> Option<&str> {
        self.relationships["media"]["data"]["id"].as_str()
    }
}

/// Whether a job of this status has ended.
pub(crate) fn is_final(status: &str) -> bool {
    matches!(status, "succeeded" | "failed" | "cancelled")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_json_shows_its_controls_and_stays_the_same() {
        let value = serde_json::json!({ "a\u{9b}": "x\u{202e}\u{7f}é\n" });
        let text = escaped(&format!("{value:#}")).into_owned();
        assert!(text.chars().all(|c| c == '\n' || is_shown(c)), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }
}
