//! The headers that tell about a media.

use media_shared::{entities::media, media_type};
use parse_net::{date::HttpDate, disposition, list};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use poem::{
    Request,
    http::{
        HeaderMap, HeaderValue,
        header::{self, IntoHeaderName},
    },
};

/// All but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// The most headers of an answer that brings a media.
const MOST_HEADERS: usize = 24;

/// The path of a media under `/medias/files` or `/medias/info`.
pub(super) fn path_to(what: &str, media: &media::Model) -> String {
    let mut path = format!("/medias/{what}/{}", encoded(&media.resource));
    if let Some(key) = &media.key {
        path.push('/');
        path.push_str(&encoded(key));
    }
    path
}

/// The same for documents, where it says as well of which project the media is: others may have one at
/// the same path.
pub(super) fn link_to(what: &str, media: &media::Model) -> String {
    let path = path_to(what, media);
    match &media.project_id {
        Some(project) => format!("{path}?project_id={}", encoded(project)),
        None => path,
    }
}

/// Text as a header or a path can carry it.
pub(super) fn encoded(text: &str) -> String {
    utf8_percent_encode(text, SEGMENT).to_string()
}

/// The strong validator: the digest of the bytes.
pub(super) fn etag(media: &media::Model) -> String {
    format!("\"{}\"", media.sha256)
}

/// When the media last changed, as HTTP has it: in whole seconds.
pub(super) fn last_modified(media: &media::Model) -> Option<HttpDate> {
    HttpDate::from_unix(media.updated_at.timestamp()).ok()
}

/// The validators and the rules for caches, which go with every answer about a media, 304 too.
pub(super) fn validators(headers: &mut HeaderMap, media: &media::Model) {
    // Those of a download all fit: a map that grows moves what it has.
    headers.reserve(MOST_HEADERS);
    // The path stays while the bytes change: caches may keep them, and must ask before they use
    // them.
    let cache = if media.public {
        "public, no-cache"
    } else {
        "private, no-cache"
    };
    set(headers, header::ETAG, etag(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    // `return=minimal` answers without the bytes (RFC 7240 §2), and what is at a path may be
    // another media for somebody else.
    let vary = HeaderValue::from_static("Prefer, Authorization");
    headers.insert(header::VARY, vary);
    if let Some(date) = last_modified(media) {
        set(headers, header::LAST_MODIFIED, &date.format()[..]);
    }
}

/// The media type, with the charset of text.
pub(super) fn content_type(media: &media::Model) -> String {
    match &media.charset {
        Some(charset) => format!("{}; charset={charset}", media.mime_type),
        None => media.mime_type.clone(),
    }
}

/// What the bytes are and how a browser may treat them.
pub(super) fn content(headers: &mut HeaderMap, media: &media::Model, inline: bool) {
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
pub(super) fn set(
    headers: &mut HeaderMap,
    name: impl IntoHeaderName,
    value: impl TryInto<HeaderValue>,
) {
    if let Ok(value) = value.try_into() {
        headers.insert(name, value);
    }
}

/// Whether a browser may show it in place: what cannot run there; and, where that is wanted, PDF, whose
/// scripts the sandbox keeps in.
pub(super) fn may_be_inline(media: &media::Model, pdf: bool) -> bool {
    media_type::is_passive(&media.mime_type) || pdf && media.mime_type == "application/pdf"
}

/// RFC 6266, with the name in RFC 8187 where ASCII does not suffice. Inline only what
/// [may be](may_be_inline).
pub(super) fn content_disposition(media: &media::Model, inline: bool) -> String {
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
pub(super) fn wants_minimal(request: &Request) -> bool {
    request.headers().get_all("prefer").iter().any(|value| {
        list::list(value.as_bytes()).is_ok_and(|preferences| {
            preferences
                .iter()
                .any(|preference| preference.eq_ignore_ascii_case(b"return=minimal"))
        })
    })
}
