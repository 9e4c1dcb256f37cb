//! What bytes are: told by the bytes themselves, the origin's word second, the extension third.

/// How many of the first bytes tell the type.
const SNIFFED_BYTES: usize = 8 * 1024;

/// What is kept for bytes that nobody can tell anything about.
pub const UNKNOWN: &str = "application/octet-stream";

/// What bytes are, and the extension that goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// Such as `image/png`.
    pub mime: String,
    /// Such as `png`, without a dot.
    pub extension: Option<&'static str>,
}

/// Tells what bytes are by their head, what was declared about them and the extension of their
/// name. Declarations that say nothing (`application/octet-stream`) are passed over; one that plain
/// text refutes leaves plain text.
pub fn detect(head: &[u8], declared: Option<&str>, extension: Option<&str>) -> MediaType {
    let head = &head[..head.len().min(SNIFFED_BYTES)];
    let said = declared
        .and_then(believable)
        .or_else(|| extension.and_then(by_extension));
    sniff(head)
        .or_else(|| match said {
            Some(said) if is_refuted(&said.mime, head) => Some(known("text/plain", "txt")),
            said => said,
        })
        .unwrap_or_else(|| MediaType {
            mime: UNKNOWN.to_owned(),
            extension: None,
        })
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

fn sniff(head: &[u8]) -> Option<MediaType> {
    if is_svg(head) {
        return Some(known("image/svg+xml", "svg"));
    }
    infer::get(head)
        .filter(|kind| !(is_weak_evidence(kind.mime_type()) && is_text(head)))
        .map(|kind| known(kind.mime_type(), kind.extension()))
}

/// Whether bytes that are plain text are said to be something that no text is: an error page, say, in
/// the place of a picture.
fn is_refuted(mime: &str, head: &[u8]) -> bool {
    const TEXTUAL: [&str; 7] = [
        "svg", "xml", "mpegurl", "portable", "pixmap", "bitmap", "x-xbm",
    ];
    let never_text = match mime.split_once('/') {
        Some(("image" | "audio" | "video", subtype)) => {
            !TEXTUAL.iter().any(|part| subtype.contains(part))
        }
        _ => matches!(
            mime,
            "application/pdf" | "application/zip" | "application/gzip"
        ),
    };
    never_text && !head.is_empty() && is_text(head)
}

/// Types that are told by two letters, which a text may begin with as well.
fn is_weak_evidence(mime: &str) -> bool {
    matches!(
        mime,
        "image/bmp" | "application/vnd.microsoft.portable-executable"
    )
}

fn is_text(head: &[u8]) -> bool {
    // The head may end within a character.
    let cut = std::str::from_utf8(head).map_or_else(|error| error.valid_up_to(), str::len);
    head.len() - cut < 4 && !head.contains(&0)
}

fn known(mime: &str, extension: &'static str) -> MediaType {
    MediaType {
        mime: mime.to_owned(),
        extension: Some(extension),
    }
}

/// SVG is text, so the magic numbers miss it: its root element is `svg`, after a prologue of
/// declarations and comments.
fn is_svg(head: &[u8]) -> bool {
    // Most heads are no text at all, which is told without reading them.
    let begin = head.strip_prefix("\u{feff}".as_bytes()).unwrap_or(head);
    if !begin.trim_ascii_start().starts_with(b"<") {
        return false;
    }
    let text = String::from_utf8_lossy(head);
    let mut rest = text.trim_start_matches('\u{feff}').trim_start();
    loop {
        let end = if rest.starts_with("<?") {
            "?>"
        } else if rest.starts_with("<!--") {
            "-->"
        } else if rest.starts_with("<!DOCTYPE svg") {
            return true;
        } else {
            return rest
                .strip_prefix("<svg")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_whitespace() || c == '>'));
        };
        match rest.split_once(end) {
            Some((_, after)) => rest = after.trim_start(),
            None => return false,
        }
    }
}

/// A declared type, if it is well formed and says something.
fn believable(declared: &str) -> Option<MediaType> {
    let parsed = parse_net::media::parse(declared.as_bytes(), &parse_net::Limits::DEFAULT).ok()?;
    let text = |part: &[u8]| String::from_utf8_lossy(part).to_ascii_lowercase();
    let mime = format!("{}/{}", text(parsed.type_()), text(parsed.subtype()));
    let says_nothing = matches!(
        mime.as_str(),
        UNKNOWN | "binary/octet-stream" | "application/unknown" | "application/x-download"
    );
    (!says_nothing && mime.len() <= 127).then(|| MediaType {
        extension: extension_of(&mime),
        mime,
    })
}

fn by_extension(extension: &str) -> Option<MediaType> {
    mime_guess::from_ext(extension)
        .first()
        .map(|mime| MediaType {
            mime: mime.essence_str().to_owned(),
            extension: extension_of(mime.essence_str()),
        })
}

/// The usual extension of a declared type; the list of all extensions begins with whatever comes
/// first in the alphabet.
fn extension_of(mime: &str) -> Option<&'static str> {
    const USUAL: [(&str, &str); 8] = [
        ("text/plain", "txt"),
        ("text/html", "html"),
        ("text/csv", "csv"),
        ("text/markdown", "md"),
        ("text/xml", "xml"),
        ("application/xml", "xml"),
        ("application/json", "json"),
        ("image/jpeg", "jpg"),
    ];
    if let Some((_, extension)) = USUAL.iter().find(|(usual, _)| *usual == mime) {
        return Some(extension);
    }
    match mime_guess::get_mime_extensions_str(mime)? {
        [only] => Some(only),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_speak_first() {
        let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        assert_eq!(
            detect(png, Some("text/plain"), Some("jpg")).mime,
            "image/png"
        );
        assert_eq!(detect(b"%PDF-1.7", None, None).mime, "application/pdf");
        assert_eq!(
            detect(b"PK\x03\x04aaaaaaaaaaaaaa", None, None).mime,
            "application/zip"
        );
    }

    #[test]
    fn svg_is_told_from_other_xml() {
        for svg in [
            "<svg xmlns='http://www.w3.org/2000/svg'/>",
            "\u{feff}<?xml version='1.0'?>\n<!-- made by hand -->\n<svg>",
            "<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\">",
        ] {
            assert_eq!(
                detect(svg.as_bytes(), None, None).mime,
                "image/svg+xml",
                "{svg}"
            );
        }
        assert_eq!(
            detect(b"<?xml version='1.0'?><rss/>", None, None).mime,
            "text/xml"
        );
        // WHATWG takes a comment for HTML, which is never shown inline: the safe side.
        assert_eq!(detect(b"<!-- no end", None, None).mime, "text/html");
    }

    #[test]
    fn plain_text_is_no_picture_whatever_is_said_of_it() {
        for (declared, extension) in [
            (Some("image/png"), None),
            (Some("video/mp4"), Some("txt")),
            (None, Some("jpg")),
            (Some("application/pdf"), None),
        ] {
            let head = br#"{"error": "sign in first"}"#;
            assert_eq!(detect(head, declared, extension).mime, "text/plain");
        }
        let list = b"#EXTM3U\n";
        assert_eq!(
            detect(list, Some("audio/mpegurl"), None).mime,
            "audio/mpegurl"
        );
        assert_eq!(detect(b"", Some("image/png"), None).mime, "image/png");
        assert_eq!(
            detect(b"\0\x01", Some("image/x-raw"), None).mime,
            "image/x-raw"
        );
    }

    #[test]
    fn a_declaration_that_says_nothing_gives_way_to_the_extension() {
        let head = b"hello";
        assert_eq!(
            detect(head, Some("Text/CSV; charset=utf-8"), Some("txt")).mime,
            "text/csv"
        );
        assert_eq!(
            detect(head, Some("application/octet-stream"), Some("txt")).mime,
            "text/plain"
        );
        assert_eq!(
            detect(head, Some("not a type"), Some("txt")).mime,
            "text/plain"
        );
        assert_eq!(detect(b"", None, None).mime, UNKNOWN);
        assert_eq!(
            detect(b"BMI table", Some("text/plain"), None).mime,
            "text/plain"
        );
        assert_eq!(detect(b"", Some("text/plain"), None).extension, Some("txt"));
    }
}
