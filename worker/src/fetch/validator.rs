//! What tells whether the bytes at an origin are still the same (RFC 9110 §8.8).

use std::time::Duration;

use hyper::{HeaderMap, header, http::HeaderValue};
use parse_net::{date::http_date, etag::EntityTag};
use serde::{Deserialize, Serialize};

/// How much later than `Last-Modified` an answer's `Date` has to be for the former to be a strong
/// validator: within that time the bytes may have changed once more (RFC 9110 §8.8.2.2).
const SETTLED: Duration = Duration::from_mins(1);
/// The longest entity tag that is kept.
const MAX_BYTES: usize = 1024;

/// A strong validator: as long as it stays, no byte has changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Validator {
    /// An entity tag that is not weak, with its quotes.
    ETag(String),
    /// A `Last-Modified` that was old enough when it was sent.
    LastModified(String),
}

impl Validator {
    /// The strong validator of an answer, if it has one.
    pub(super) fn of(headers: &HeaderMap) -> Option<Self> {
        strong_etag(headers)
            .map(Self::ETag)
            .or_else(|| settled_date(headers).map(Self::LastModified))
    }

    /// As `If-Range` has it.
    pub(super) fn to_header(&self) -> Option<HeaderValue> {
        let (Self::ETag(text) | Self::LastModified(text)) = self;
        HeaderValue::from_str(text).ok()
    }

    /// Whether a part is one of the same bytes. It has to bear the entity tag (RFC 9110 §15.3.7); one
    /// that says nothing of a date is taken by the length of the whole.
    pub(super) fn is_confirmed_by(&self, headers: &HeaderMap, same_length: bool) -> bool {
        let says = |name, text: &str| {
            headers
                .get(name)
                .map(|value| value.as_bytes() == text.as_bytes())
        };
        match self {
            Self::ETag(tag) => says(header::ETAG, tag) == Some(true),
            Self::LastModified(date) => says(header::LAST_MODIFIED, date).unwrap_or(same_length),
        }
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    let text = headers.get(name)?.to_str().ok()?.trim();
    (text.len() <= MAX_BYTES).then_some(text)
}

fn strong_etag(headers: &HeaderMap) -> Option<String> {
    let text = text(headers, header::ETAG)?;
    let tag = EntityTag::parse(text.as_bytes()).ok()?;
    // A tag equals itself strongly only if it is not weak.
    tag.strong_eq(&tag).then(|| text.to_owned())
}

fn settled_date(headers: &HeaderMap) -> Option<String> {
    let modified = text(headers, header::LAST_MODIFIED)?;
    let at = http_date(modified.as_bytes()).ok()?.unix();
    let sent = http_date(text(headers, header::DATE)?.as_bytes())
        .ok()?
        .unix();
    let age = u64::try_from(sent - at).ok()?;
    (age >= SETTLED.as_secs()).then(|| modified.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(header::HeaderName, &'static str)]) -> Option<Validator> {
        let headers = pairs
            .iter()
            .map(|(name, value)| (name.clone(), HeaderValue::from_static(value)))
            .collect();
        Validator::of(&headers)
    }

    #[test]
    fn only_what_is_strong_validates() {
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
