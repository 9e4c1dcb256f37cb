//! Text, and what is none.

use encoding_rs::Encoding;

/// Whether bytes are text, in UTF-8, UTF-16 with a byte order mark, or an 8-bit charset: they have no
/// control characters but those that text has.
pub(super) fn is_text(head: &[u8]) -> bool {
    if let Some((encoding, mark)) = Encoding::for_bom(head) {
        // The head may end within a character.
        let whole = &head[mark..head.len() - (head.len() - mark) % 2];
        return encoding == encoding_rs::UTF_8
            || encoding
                .decode_without_bom_handling(whole)
                .0
                .chars()
                .all(|c| !c.is_control() || is_blank(c));
    }
    head.iter()
        .all(|byte| !byte.is_ascii_control() || is_blank(char::from(*byte)))
}

/// Control characters of text; ESC changes charsets and colours.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{8}' | '\u{c}' | '\u{1b}')
}

/// Whether a type is one of text, which has a charset.
pub(super) fn is_textual(mime: &str) -> bool {
    const OTHERS: [&str; 16] = [
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
        || OTHERS.contains(&mime)
}

/// Whether text without a signature cannot be of a type.
pub(super) fn is_never_text(mime: &str) -> bool {
    const TEXTUAL: [&str; 7] = [
        "svg", "xml", "mpegurl", "portable", "pixmap", "bitmap", "x-xbm",
    ];
    match mime.split_once('/') {
        Some(("image" | "audio" | "video", subtype)) => {
            !TEXTUAL.iter().any(|part| subtype.contains(part))
        }
        Some(("font", _)) => true,
        // The signature of its type would have been found.
        Some(("application", _)) => !is_textual(mime) && infer::is_mime_supported(mime),
        _ => false,
    }
}

/// Formats with a signature whose bytes can be text from the first to the last.
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
