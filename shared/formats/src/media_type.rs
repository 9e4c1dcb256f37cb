//! The media type of bytes. The bytes decide between families of types; within a family, a declared type
//! that the bytes are compatible with is more specific than what the bytes alone show, and the extension
//! of the name comes last.

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

/// The type of bytes of which nothing is known.
pub const UNKNOWN: &str = "application/octet-stream";

/// A media type, and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// Such as `image/png`.
    pub mime: String,
    /// Such as `png`, without a dot.
    pub extension: Option<&'static str>,
    /// The charset of text, in lower case: the declared one, or one that the bytes show.
    pub charset: Option<String>,
}

/// A type as it was declared.
struct Declared {
    /// Nothing if it says nothing, such as `application/octet-stream`.
    mime: Option<String>,
    charset: Option<String>,
}

/// Tells what bytes are by their head, by the `Content-Type` that was declared and by the extension of
/// their name. A declared type that the bytes contradict is passed over.
pub fn detect(head: &[u8], declared: Option<&str>, extension: Option<&str>) -> MediaType {
    let declared = declared.map(Declared::parse);
    let by_name = extension.and_then(names::by_extension);
    let said = declared.as_ref().and_then(|declared| declared.mime.clone());
    let candidates = || said.iter().chain(by_name.as_ref());
    let mime = match sniff::sniff(head) {
        Some(found) => candidates()
            .find(|mime| found.family.includes(mime))
            .cloned()
            .unwrap_or_else(|| found.mime.into_owned()),
        None => candidates()
            .find(|mime| is_possible(mime, head))
            .cloned()
            .unwrap_or_else(|| unsaid(head)),
    };
    let named = declared.and_then(|declared| declared.charset);
    MediaType {
        charset: text::is_textual(&mime)
            .then(|| named.or_else(|| charset::of_bytes(head, &mime)))
            .flatten(),
        extension: names::extension_of(&mime),
        mime,
    }
}

/// Whether a browser can show the type without running any of it: pictures (not SVG, which carries
/// scripts), sound, film and plain text.
pub fn is_passive(mime: &str) -> bool {
    match mime.split_once('/') {
        Some(("image", subtype)) => !subtype.contains("svg") && !subtype.contains("xml"),
        Some(("audio" | "video", _)) => true,
        _ => mime == "text/plain",
    }
}

/// Whether bytes without a signature can be of a type: an error page in the place of a picture is not
/// one, and binary data is no text.
fn is_possible(mime: &str, head: &[u8]) -> bool {
    if head.is_empty() {
        true
    } else if text::is_text(head) {
        !text::is_never_text(mime)
    } else {
        !text::is_textual(mime)
    }
}

/// The type of bytes without a signature that nobody has said anything credible about.
fn unsaid(head: &[u8]) -> String {
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
                .filter(|mime| !says_nothing(mime)),
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

fn says_nothing(mime: &str) -> bool {
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
