//! Validators (RFC 9110 §8.8), which tell whether the content at an origin has changed.

use std::time::Duration;

use hyper::{HeaderMap, header, http::HeaderValue};
use parse_net::{date::http_date, etag::EntityTag};
use serde::{Deserialize, Serialize};

/// Minimum time from `Last-Modified` to an answer's `Date` that makes the former a strong validator: within it,
/// the content may have changed again (RFC 9110 §8.8.2.2).
const MIN_AGE: Duration = Duration::from_mins(1);
/// Maximum length of a validator; longer ones are ignored.
const MAX_VALIDATOR_BYTES: usize = 1024;

/// A strong validator: while it stays the same, no byte has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Validator {
    /// A strong entity tag, with its quotes.
    ETag(String),
    /// A `Last-Modified` that was at least [`MIN_AGE`] old when it was sent.
    LastModified(String),
}

impl Validator {
    /// Reads the strong validator of an answer, if it has one.
    pub(super) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        strong_etag(headers)
            .map(Self::ETag)
            .or_else(|| settled_date(headers).map(Self::LastModified))
    }

    /// Returns the value of `If-Range`.
    pub(super) fn to_header(&self) -> Option<HeaderValue> {
        let (Self::ETag(text) | Self::LastModified(text)) = self;
        HeaderValue::from_str(text).ok()
    }

    /// Whether a range belongs to the same content. It must have the same entity tag (RFC 9110 §15.3.7); without
    /// a `Last-Modified`, the same total length is sufficient.
    pub(super) fn is_confirmed_by(&self, headers: &HeaderMap, same_length: bool) -> bool {
        let equals = |name, text: &str| {
            headers
                .get(name)
                .map(|value| value.as_bytes() == text.as_bytes())
        };
        match self {
            Self::ETag(tag) => equals(header::ETAG, tag) == Some(true),
            Self::LastModified(date) => equals(header::LAST_MODIFIED, date).unwrap_or(same_length),
        }
    }
}

/// The validators of an answer as the origin sent them, to ask later whether its content has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OriginValidators {
    /// The entity tag, with its quotes; weak or strong.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// A `Last-Modified` that was at least [`MIN_AGE`] old when it was sent: a younger one does not tell two changes
    /// within a second apart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
}

impl OriginValidators {
    /// Reads the validators of an answer.
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        let is_tag = |text: &&str| EntityTag::parse(text.as_bytes()).is_ok();
        Self {
            etag: text(headers, header::ETAG)
                .filter(is_tag)
                .map(str::to_owned),
            last_modified: settled_date(headers),
        }
    }

    /// Whether there is none.
    pub(crate) fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    /// Returns the conditions of a request for changed content (RFC 9110 §13.1.2, §13.1.3).
    pub(super) fn conditions(&self) -> HeaderMap {
        let pairs = [
            (header::IF_NONE_MATCH, &self.etag),
            (header::IF_MODIFIED_SINCE, &self.last_modified),
        ];
        let value = |text: &Option<String>| HeaderValue::from_str(text.as_deref()?).ok();
        pairs
            .into_iter()
            .filter_map(|(name, text)| Some((name, value(text)?)))
            .collect()
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (text.len() <= MAX_VALIDATOR_BYTES).then_some(text)
}

fn strong_etag(headers: &HeaderMap) -> Option<String> {
    let text = text(headers, header::ETAG)?;
    let tag = EntityTag::parse(text.as_bytes()).ok()?;
    // A weak tag does not equal itself by strong comparison.
    tag.strong_eq(&tag).then(|| text.to_owned())
}

fn settled_date(headers: &HeaderMap) -> Option<String> {
    let modified = text(headers, header::LAST_MODIFIED)?;
    let at = http_date(modified.as_bytes()).ok()?.unix();
    let sent = http_date(text(headers, header::DATE)?.as_bytes())
        .ok()?
        .unix();
    let age = u64::try_from(sent - at).ok()?;
    (age >= MIN_AGE.as_secs()).then(|| modified.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(header::HeaderName, &'static str)]) -> Option<Validator> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect();
        Validator::from_headers(&headers)
    }

    #[test]
    fn conditions_have_weak_tags_and_settled_dates() {
        let headers = |pairs: &[(header::HeaderName, &'static str)]| -> HeaderMap {
            let pairs = pairs.iter().cloned();
            pairs
                .map(|(name, value)| (name, HeaderValue::from_static(value)))
                .collect()
        };
        let date = (header::DATE, "Mon, 23 Nov 2026 12:01:00 GMT");
        let settled = (header::LAST_MODIFIED, "Mon, 23 Nov 2026 12:00:00 GMT");
        let both = headers(&[(header::ETAG, "W/\"a\""), settled.clone(), date.clone()]);
        let conditions = OriginValidators::from_headers(&both).conditions();
        assert_eq!(conditions[header::IF_NONE_MATCH], "W/\"a\"");
        assert_eq!(conditions[header::IF_MODIFIED_SINCE], settled.1);
        let recent = (header::LAST_MODIFIED, "Mon, 23 Nov 2026 12:00:01 GMT");
        let none = headers(&[(header::ETAG, "no tag"), recent, date]);
        assert!(OriginValidators::from_headers(&none).is_empty());
    }

    #[test]
    fn weak_validators_are_ignored() {
        let date = (header::DATE, "Mon, 23 Nov 2026 12:01:00 GMT");
        let settled = (header::LAST_MODIFIED, "Mon, 23 Nov 2026 12:00:00 GMT");
        let recent = (header::LAST_MODIFIED, "Mon, 23 Nov 2026 12:00:01 GMT");
        let strong = Some(Validator::ETag("\"a\"".to_owned()));
        assert_eq!(of(&[(header::ETAG, "\"a\""), recent.clone()]), strong);
        assert_eq!(of(&[(header::ETAG, "W/\"a\"")]), None);
        assert_eq!(of(&[(header::ETAG, "a")]), None);
        assert_eq!(of(&[recent, date.clone()]), None);
        assert_eq!(of(std::slice::from_ref(&settled)), None);
        assert_eq!(
            of(&[(header::ETAG, "W/\"a\""), settled, date]),
            Some(Validator::LastModified(
                "Mon, 23 Nov 2026 12:00:00 GMT".to_owned()
            ))
        );
    }
}
