//! The headers that describe a media.

use media_database::entities::media;
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

/// All but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The most headers of a download's answer.
const MAX_HEADERS: usize = 24;

/// The path of a media under `/medias/files` or `/medias/info`.
pub(crate) fn path_to(what: &str, media: &media::Model) -> String {
    let mut path = format!("/medias/{what}/{}", encoded(&media.resource));
    if let Some(key) = &media.key {
        path.push('/');
        path.push_str(&encoded(key));
    }
    path
}

/// The link in documents: the path with the project, since other projects may have a media at the same path.
pub(crate) fn link_to(what: &str, media: &media::Model) -> String {
    let path = path_to(what, media);
    match &media.project_id {
        Some(project) => format!("{path}?project_id={}", encoded(project)),
        None => path,
    }
}

/// Text as a header or a path can carry it.
pub(crate) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// The strong validator: the digest of the bytes.
pub(crate) fn etag(media: &media::Model) -> String {
    format!("\"{}\"", media.sha256)
}

/// When the media last changed, as HTTP has it: in whole seconds.
pub(crate) fn last_modified(media: &media::Model) -> Option<HttpDate> {
    HttpDate::from_unix(media.updated_at.timestamp()).ok()
}

/// The validators and the rules for caches, which go with every answer about a media, 304 too.
pub(crate) fn validators(headers: &mut HeaderMap, media: &media::Model) {
    // All headers of a download fit, so the map never grows.
    headers.reserve(MAX_HEADERS);
    // The bytes at a path change: caches may keep them, and must revalidate before they use them.
    let cache = if media.public {
        "public, no-cache"
    } else {
        "private, no-cache"
    };
    set(headers, header::ETAG, etag(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    // `return=minimal` answers without the bytes (RFC 7240 §2), and another caller may find another media
    // at the same path.
    let vary = HeaderValue::from_static("Prefer, Authorization");
    headers.insert(header::VARY, vary);
    if let Some(date) = last_modified(media) {
        set(headers, header::LAST_MODIFIED, &date.format()[..]);
    }
}

/// The media type, with the charset of text.
pub(crate) fn content_type(media: &media::Model) -> String {
    match &media.charset {
        Some(charset) => format!("{}; charset={charset}", media.mime_type),
        None => media.mime_type.clone(),
    }
}

/// Sets the headers that describe the bytes and how a browser may treat them.
pub(crate) fn content(headers: &mut HeaderMap, media: &media::Model, inline: bool) {
    let disposition = content_disposition(media, inline);
    set(headers, header::CONTENT_TYPE, content_type(media));
    set(headers, header::CONTENT_DISPOSITION, disposition);
    for (name, value) in [
        (header::ACCEPT_RANGES, "bytes"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (
            header::CONTENT_SECURITY_POLICY,
            "sandbox; default-src 'none'",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Sets a header, if the value can be one.
pub(crate) fn set(
    headers: &mut HeaderMap,
    name: impl IntoHeaderName,
    value: impl TryInto<HeaderValue>,
) {
    if let Ok(value) = value.try_into() {
        headers.insert(name, value);
    }
}

/// Whether a browser may show it in place: types that cannot run scripts, and PDF if `pdf` is set, whose scripts
/// the sandbox confines.
pub(crate) fn may_be_inline(media: &media::Model, pdf: bool) -> bool {
    media_type::is_passive(&media.mime_type) || pdf && media.mime_type == "application/pdf"
}

/// RFC 6266, with the name in RFC 8187 where ASCII does not suffice. Inline only what
/// [may be](may_be_inline).
pub(crate) fn content_disposition(media: &media::Model, inline: bool) -> String {
    let mut value = Vec::new();
    // Names hold no control characters, the only thing that cannot be written.
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

/// Whether the client asks for headers only: `Prefer: return=minimal` (RFC 7240 §4.2).
pub(crate) fn wants_minimal(request: &Request) -> bool {
    request.headers().get_all("prefer").iter().any(|value| {
        list::list(value.as_bytes()).is_ok_and(|preferences| {
            preferences
                .iter()
                .any(|preference| preference.eq_ignore_ascii_case(b"return=minimal"))
        })
    })
}

/// A field's value; several lines are one list (RFC 9110 §5.3).
pub(crate) fn field(headers: &HeaderMap, name: &HeaderName) -> Option<Vec<u8>> {
    let lines: Vec<&[u8]> = headers
        .get_all(name)
        .iter()
        .map(HeaderValue::as_bytes)
        .collect();
    (!lines.is_empty()).then(|| lines.join(&b", "[..]))
}
