//! Detection of the media type. The bytes decide between families of types. Within a family, a compatible declared
//! type is more specific than the type found in the bytes and takes precedence; the extension of the file name comes
//! last.

use media_domain::header_parameters::Parameterized;

mod audio;
mod charset;
mod family;
mod iso_media;
mod names;
mod ogg;
mod sniff;
mod text;
mod xml;
mod zip;

use names::canonical;

/// The type of bytes whose format is unknown.
pub const UNKNOWN: &str = "application/octet-stream";

/// A media type with its file extension and charset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// The type and subtype, such as `image/png`.
    pub mime: String,
    /// The usual file extension without a dot, such as `png`.
    pub extension: Option<&'static str>,
    /// The charset of text, in lower case: the declared one, or else the one found in the bytes.
    pub charset: Option<String>,
}

/// A declared `Content-Type`.
struct Declared {
    /// None if the type is malformed or generic, such as `application/octet-stream`.
    mime: Option<String>,
    charset: Option<String>,
}

/// Detects the media type by the first bytes, the declared `Content-Type` and the extension of the file name. A
/// declared type that the bytes contradict is ignored.
pub fn detect(head: &[u8], declared: Option<&str>, extension: Option<&str>) -> MediaType {
    let declared = declared.map(Declared::parse);
    let by_name = extension.and_then(names::by_extension);
    let declared_mime = declared.as_ref().and_then(|declared| declared.mime.clone());
    let candidates = || declared_mime.iter().chain(by_name.as_ref());
    let mime = match sniff::sniff(head) {
        Some(found) => candidates()
            .find(|mime| found.family.includes(mime))
            .cloned()
            .unwrap_or_else(|| found.mime.into_owned()),
        None => candidates()
            .find(|mime| is_possible(mime, head))
            .cloned()
            .unwrap_or_else(|| fallback_type(head)),
    };
    let declared_charset = declared.and_then(|declared| declared.charset);
    MediaType {
        charset: text::is_textual(&mime)
            .then(|| declared_charset.or_else(|| charset::detect(head, &mime)))
            .flatten(),
        extension: names::extension_of(&mime),
        mime,
    }
}

/// Whether a browser can display the type without executing content: images (except SVG, which can contain scripts),
/// audio, video and plain text.
pub fn is_passive(mime: &str) -> bool {
    match mime.split_once('/') {
        Some(("image", subtype)) => !subtype.contains("svg") && !subtype.contains("xml"),
        Some(("audio" | "video", _)) => true,
        _ => mime == "text/plain",
    }
}

/// Whether bytes without a signature can have a type: text, such as an error page, is never an image, and binary data
/// is never text.
fn is_possible(mime: &str, head: &[u8]) -> bool {
    if head.is_empty() {
        true
    } else if text::is_text(head) {
        !text::is_never_text(mime)
    } else {
        !text::is_textual(mime)
    }
}

/// The type of bytes without a signature and without a credible declared type.
fn fallback_type(head: &[u8]) -> String {
    let is_text = !head.is_empty() && text::is_text(head);
    if is_text { "text/plain" } else { UNKNOWN }.to_owned()
}

impl Declared {
    fn parse(field: &str) -> Self {
        let parsed = Parameterized::parse(field.as_bytes());
        let charset = parsed.get("charset").and_then(charset::label);
        let mime = String::from_utf8_lossy(&parsed.value).to_ascii_lowercase();
        Self {
            mime: is_well_formed(&mime)
                .then(|| canonical(&mime).to_owned())
                .filter(|mime| !is_generic(mime)),
            charset,
        }
    }
}

fn is_well_formed(mime: &str) -> bool {
    let is_name = |part: &str| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$&-^_.+".contains(c);
        !part.is_empty() && part.chars().all(is_part)
    };
    let parts = mime.split_once('/');
    mime.len() <= 127 && parts.is_some_and(|(top, sub)| is_name(top) && is_name(sub))
}

fn is_generic(mime: &str) -> bool {
    matches!(
        mime,
        UNKNOWN
            | "binary/octet-stream"
            | "application/unknown"
            | "unknown/unknown"
            | "application/x-download"
            | "application/download"
            | "application/force-download"
            | "application/x-force-download"
            | "application/binary"
            | "application/x-unknown"
    )
}

#[cfg(test)]
mod tests;
