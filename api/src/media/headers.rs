//! The headers that describe a media.

use std::time::Duration;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use chrono::{DateTime, Utc};
use media_database::entities::media;
use media_domain::media::Sha256;
use media_formats::media_type;
use parse_net::{date::HttpDate, disposition, list};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use poem::{
    Request,
    http::{
        HeaderMap, HeaderName, HeaderValue,
        header::{self, IntoHeaderName},
    },
};

/// All characters except the unreserved ones of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The most headers of a download's answer.
const MAX_HEADERS: usize = 24;

/// The policy of media: browsers run nothing in them, and load nothing for them.
const SANDBOX_POLICY: &str = "sandbox; default-src 'none'";
/// The policy of pictures, sound and film that browsers show inline. The page that a browser makes for them loads the
/// same URL again, from this origin, and has styles of its own. No script runs without `allow-scripts`, so
/// `allow-same-origin` gives a hostile file nothing.
const PLAYER_POLICY: &str = "sandbox allow-same-origin; default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'";

/// The path of a media in a section of the API, `files` or `info`.
pub(crate) fn path_to(section: &str, media: &media::Model) -> String {
    path_of(section, &media.resource, media.key.as_deref())
}

/// The path of the media with a resource and a key in a section of the API.
pub(crate) fn path_of(section: &str, resource: &str, key: Option<&str>) -> String {
    let mut path = format!("/medias/{section}/{}", encoded(resource));
    // A slash in a key separates segments of the path.
    for segment in key.into_iter().flat_map(|key| key.split('/')) {
        path.push('/');
        path.push_str(&encoded(segment));
    }
    path
}

/// The link to a media in documents: the path and the project, as other projects may have a media at the same path.
pub(crate) fn link_to(section: &str, media: &media::Model) -> String {
    let path = path_to(section, media);
    match &media.project_id {
        Some(project) => format!("{path}?project_id={}", encoded(project)),
        None => path,
    }
}

/// Percent-encodes text for a header or a path segment.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// The strong validator: the digest of the bytes.
pub(crate) fn etag(media: &media::Model) -> String {
    format!("\"{}\"", media.sha256)
}

/// The strong validator of the record, which changes with every attribute.
pub(crate) fn record_etag(media: &media::Model) -> String {
    format!("\"{}\"", media.record_tag())
}

/// The time until a media expires, if it does.
pub(crate) fn remaining_lifetime(media: &media::Model) -> Option<Duration> {
    let remaining = media.expires_at? - Utc::now();
    Some(remaining.to_std().unwrap_or_default())
}

/// The time of the last change, in whole seconds.
pub(crate) fn last_modified(media: &media::Model) -> Option<HttpDate> {
    HttpDate::from_unix(media.updated_at.timestamp()).ok()
}

/// Sets the validators and the rules for caches, which every answer about a media has, including 304. Caches may use
/// public media for `public_max_age` without asking.
pub(crate) fn set_validators(
    headers: &mut HeaderMap,
    media: &media::Model,
    public_max_age: Duration,
) {
    // Reserves space for all headers of a download at once.
    headers.reserve(MAX_HEADERS);
    set(headers, header::ETAG, etag(media));
    let cache = CacheRules::of(media, public_max_age, Utc::now());
    set(headers, header::CACHE_CONTROL, cache.control);
    if let Some(date) = cache.expires {
        set(headers, header::EXPIRES, &date.format()[..]);
    }
    // The answer to `return=minimal` has no bytes (RFC 7240 §2), and another caller may get another media at the same
    // path.
    let vary = HeaderValue::from_static("Prefer, Authorization");
    headers.insert(header::VARY, vary);
    if let Some(date) = last_modified(media) {
        set(headers, header::LAST_MODIFIED, &date.format()[..]);
    }
}

/// The rules for caches.
#[derive(Debug, PartialEq, Eq)]
struct CacheRules {
    /// `Cache-Control`.
    control: String,
    /// `Expires`, for media that expire.
    expires: Option<HttpDate>,
}

impl CacheRules {
    /// Media can be replaced, so caches ask before each use of private media, and after a time for public ones. No copy
    /// outlives its media.
    fn of(media: &media::Model, public_max_age: Duration, now: DateTime<Utc>) -> Self {
        let remaining = media.expires_at.map(|at| (at - now).num_seconds().max(0));
        let max_age = i64::try_from(public_max_age.as_secs()).unwrap_or(i64::MAX);
        let max_age = remaining.map_or(max_age, |remaining| max_age.min(remaining));
        let control = match (media.public, max_age) {
            (false, _) => "private, no-cache".to_owned(),
            (true, 0) => "public, no-cache".to_owned(),
            (true, seconds) => format!("public, max-age={seconds}"),
        };
        let end = now.timestamp() + max_age;
        let expires = remaining.filter(|_| media.public && max_age > 0);
        Self {
            control,
            expires: expires.and_then(|_| HttpDate::from_unix(end).ok()),
        }
    }
}

/// The value of `Repr-Digest` (RFC 9530): the digest of the whole media, in an answer with a range, too.
fn repr_digest(media: &media::Model) -> Option<String> {
    let digest = Sha256::from_hex(&media.sha256).ok()?;
    let text = BASE64_STANDARD.encode(digest.as_bytes());
    Some(format!("sha-256=:{text}:"))
}

/// The media type, with the charset of text.
pub(crate) fn content_type(media: &media::Model) -> String {
    match &media.charset {
        Some(charset) => format!("{}; charset={charset}", media.mime_type),
        None => media.mime_type.clone(),
    }
}

/// Sets the headers that describe the bytes and their treatment by browsers.
pub(crate) fn set_content_headers(headers: &mut HeaderMap, media: &media::Model, inline: bool) {
    let disposition = content_disposition(media, inline);
    set(headers, header::CONTENT_TYPE, content_type(media));
    set(headers, header::CONTENT_DISPOSITION, disposition);
    if let Some(digest) = repr_digest(media) {
        set(headers, "repr-digest", digest);
    }
    let policy = if inline && media_type::is_passive(&media.mime_type) {
        PLAYER_POLICY
    } else {
        SANDBOX_POLICY
    };
    for (name, value) in [
        (header::ACCEPT_RANGES, "bytes"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::CONTENT_SECURITY_POLICY, policy),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Sets a header, if the value is valid.
pub(crate) fn set(
    headers: &mut HeaderMap,
    name: impl IntoHeaderName,
    value: impl TryInto<HeaderValue>,
) {
    if let Ok(value) = value.try_into() {
        headers.insert(name, value);
    }
}

/// Whether browsers may show a media inline: types that cannot run scripts, and PDF if `pdf` is set, whose scripts the
/// sandbox confines.
pub(crate) fn may_be_inline(media: &media::Model, pdf: bool) -> bool {
    media_type::is_passive(&media.mime_type) || pdf && media.mime_type == "application/pdf"
}

/// The value of `Content-Disposition` (RFC 6266), with names beyond ASCII encoded by RFC 8187. `inline` must only be set
/// if [`may_be_inline`] allows it.
pub(crate) fn content_disposition(media: &media::Model, inline: bool) -> String {
    let mut value = Vec::new();
    // Only control characters cannot be written, and names do not contain any.
    if disposition::write_attachment(&media.filename, &mut value).is_err() {
        value = b"attachment".to_vec();
    }
    let value = String::from_utf8_lossy(&value);
    if inline {
        value.replacen("attachment", "inline", 1)
    } else {
        value.into_owned()
    }
}

/// Whether the client prefers an answer of only headers: `Prefer: return=minimal` (RFC 7240 §4.2).
pub(crate) fn wants_minimal(request: &Request) -> bool {
    request.headers().get_all("prefer").iter().any(|value| {
        list::list(value.as_bytes()).is_ok_and(|preferences| {
            preferences
                .iter()
                .any(|preference| preference.eq_ignore_ascii_case(b"return=minimal"))
        })
    })
}

/// The value of a header; several lines are joined to one list (RFC 9110 §5.3).
pub(crate) fn field(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    (!lines.is_empty()).then(|| lines.join(&b", "[..]))
}
