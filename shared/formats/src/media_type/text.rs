//! Distinguishes text from binary data.

use encoding_rs::Encoding;

/// Whether bytes are text in UTF-8, UTF-16 with a byte order mark, or an 8-bit charset: they contain no control
/// characters except those of [`is_text_control`].
pub(super) fn is_text(head: &[u8]) -> bool {
    if let Some((encoding, mark)) = Encoding::for_bom(head) {
        // The last character may be truncated.
        let whole = &head[mark..head.len() - (head.len() - mark) % 2];
        return encoding == encoding_rs::UTF_8
            || encoding
                .decode_without_bom_handling(whole)
                .0
                .chars()
                .all(|c| !c.is_control() || is_text_control(c));
    }
    head.iter()
        .all(|byte| !byte.is_ascii_control() || is_text_control(char::from(*byte)))
}

/// Whether a control character occurs in text. ESC switches charsets and colours.
fn is_text_control(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{8}' | '\u{c}' | '\u{1b}')
}

/// Whether a type is textual and so has a charset.
pub(super) fn is_textual(mime: &str) -> bool {
    const OTHER_TYPES: [&str; 16] = [
        "application/csv",
        "application/ecmascript",
        "application/graphql",
        "application/javascript",
        "application/json",
        "application/jsonl",
        "application/ld+json",
        "application/sql",
        "application/toml",
        "application/x-httpd-php",
        "application/x-javascript",
        "application/x-ndjson",
        "application/x-sh",
        "application/x-subrip",
        "application/x-yaml",
        "application/yaml",
    ];
    mime.starts_with("text/")
        || mime == "application/xml"
        || mime.ends_with("+xml")
        || mime.ends_with("+json")
        || OTHER_TYPES.contains(&mime)
}

/// Whether text without a signature cannot have a type.
pub(super) fn is_never_text(mime: &str) -> bool {
    const TEXTUAL_SUBTYPES: [&str; 7] = [
        "svg", "xml", "mpegurl", "portable", "pixmap", "bitmap", "x-xbm",
    ];
    match mime.split_once('/') {
        Some(("image" | "audio" | "video", subtype)) => {
            !TEXTUAL_SUBTYPES.iter().any(|part| subtype.contains(part))
        }
        Some(("font", _)) => true,
        // The signature of this type would have been found.
        Some(("application", _)) => !is_textual(mime) && infer::is_mime_supported(mime),
        _ => false,
    }
}

/// Whether files of a type with a signature can consist of text only.
pub(super) fn may_be_text(mime: &str) -> bool {
    is_textual(mime)
        || matches!(
            mime,
            "application/pdf"
                | "application/postscript"
                | "application/rtf"
                | "application/x-x509-ca-cert"
        )
}
