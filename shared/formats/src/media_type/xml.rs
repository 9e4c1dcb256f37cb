//! Detection of XML documents by their root element.

use std::borrow::Cow;

use encoding_rs::Encoding;

use super::family::{Family, Found};

/// The number of leading bytes that are searched for the root element.
const MAX_BYTES: usize = 16 * 1024;

/// Root elements by local name, with a prefix of the namespace where the name alone is ambiguous.
const ROOT_ELEMENTS: [(&str, &str, &str); 20] = [
    ("svg", "", "image/svg+xml"),
    ("rss", "", "application/rss+xml"),
    (
        "feed",
        "http://www.w3.org/2005/Atom",
        "application/atom+xml",
    ),
    (
        "entry",
        "http://www.w3.org/2005/Atom",
        "application/atom+xml",
    ),
    (
        "RDF",
        "http://www.w3.org/1999/02/22-rdf-syntax-ns",
        "application/rdf+xml",
    ),
    ("gpx", "", "application/gpx+xml"),
    ("kml", "", "application/vnd.google-earth.kml+xml"),
    (
        "html",
        "http://www.w3.org/1999/xhtml",
        "application/xhtml+xml",
    ),
    (
        "math",
        "http://www.w3.org/1998/Math/MathML",
        "application/mathml+xml",
    ),
    ("opml", "", "text/x-opml"),
    ("tt", "http://www.w3.org/ns/ttml", "application/ttml+xml"),
    ("smil", "", "application/smil+xml"),
    ("MPD", "urn:mpeg:dash:schema:mpd", "application/dash+xml"),
    ("COLLADA", "", "model/vnd.collada+xml"),
    ("X3D", "", "model/x3d+xml"),
    (
        "score-partwise",
        "",
        "application/vnd.recordare.musicxml+xml",
    ),
    (
        "score-timewise",
        "",
        "application/vnd.recordare.musicxml+xml",
    ),
    ("xliff", "", "application/xliff+xml"),
    (
        "stylesheet",
        "http://www.w3.org/1999/XSL/Transform",
        "application/xslt+xml",
    ),
    ("TEI", "http://www.tei-c.org/ns", "application/tei+xml"),
];

const SVG_NAMESPACE: &str = "http://www.w3.org/2000/svg";

/// Detects the type of an XML document. HTML, which has a similar beginning, is not XML.
pub(super) fn sniff(head: &[u8]) -> Option<Found> {
    let text = decode_markup(head)?;
    let text = text.trim_start();
    let is_declared = text.starts_with("<?xml");
    match root(text) {
        Root::Element { name, attributes } => match by_root(name, attributes) {
            Some("application/xhtml+xml") if is_declared => {
                Some(Found::new("application/xhtml+xml", Family::Xhtml))
            }
            // Without a declaration, most readers treat it as HTML.
            Some("application/xhtml+xml") => None,
            Some(mime) => Some(Found::exact(mime)),
            None => is_declared.then(|| Found::new("text/xml", Family::Xml)),
        },
        Root::Doctype("svg") => Some(Found::exact("image/svg+xml")),
        Root::Doctype(_) | Root::Unknown => {
            is_declared.then(|| Found::new("text/xml", Family::Xml))
        }
    }
}

/// The encoding in the XML declaration.
pub(super) fn encoding(head: &[u8]) -> Option<Vec<u8>> {
    let declaration = head.trim_ascii_start().strip_prefix(b"<?xml")?;
    let end = memchr::memmem::find(declaration, b"?>")?;
    let text = std::str::from_utf8(&declaration[..end]).ok()?;
    attribute(text, "encoding").map(|value| value.as_bytes().to_vec())
}

/// The root element, or the document type declaration if the element was not found.
enum Root<'t> {
    Element { name: &'t str, attributes: &'t str },
    Doctype(&'t str),
    Unknown,
}

/// Finds the root element after declarations and comments (XML 1.0 §2.8).
fn root(mut rest: &str) -> Root<'_> {
    let mut doctype = None;
    loop {
        rest = rest.trim_start();
        let after = if rest.starts_with("<?") {
            rest.split_once("?>").map(|(_, after)| after)
        } else if rest.starts_with("<!--") {
            rest.split_once("-->").map(|(_, after)| after)
        } else if let Some(declaration) = rest.strip_prefix("<!DOCTYPE") {
            let name = declaration.trim_start();
            doctype = name
                .split(|c: char| c.is_whitespace() || c == '>' || c == '[')
                .next();
            after_doctype(declaration)
        } else {
            return match element(rest) {
                Some((name, attributes)) => Root::Element { name, attributes },
                None => doctype.map_or(Root::Unknown, Root::Doctype),
            };
        };
        match after {
            Some(after) => rest = after,
            None => return doctype.map_or(Root::Unknown, Root::Doctype),
        }
    }
}

/// The text after a document type declaration, which may contain further declarations in brackets.
fn after_doctype(declaration: &str) -> Option<&str> {
    let end = declaration.find(['[', '>'])?;
    if declaration[end..].starts_with('>') {
        return Some(&declaration[end + 1..]);
    }
    let (_, after) = declaration[end..].split_once(']')?;
    after.split_once('>').map(|(_, after)| after)
}

/// The name and the attributes of the element at the beginning of a text. The attributes may be truncated.
fn element(text: &str) -> Option<(&str, &str)> {
    let rest = text.strip_prefix('<')?;
    let end = rest
        .find(|c: char| c.is_whitespace() || matches!(c, '>' | '/'))
        .unwrap_or(rest.len());
    let (name, rest) = rest.split_at(end);
    let is_name = name.starts_with(|c: char| c.is_alphabetic() || c == '_');
    let attributes = rest.split('>').next().unwrap_or_default();
    is_name.then_some((name, attributes))
}

fn by_root(name: &str, attributes: &str) -> Option<&'static str> {
    let (prefix, local) = name.split_once(':').unwrap_or(("", name));
    let declared = match prefix {
        "" => attribute(attributes, "xmlns"),
        prefix => attribute(attributes, &format!("xmlns:{prefix}")),
    };
    let namespace = declared.unwrap_or_default();
    // A prefix can be bound to any namespace; only the namespace identifies SVG.
    if !prefix.is_empty() && local == "svg" && namespace != SVG_NAMESPACE {
        return None;
    }
    ROOT_ELEMENTS
        .iter()
        .find(|(root, within, _)| *root == local && namespace.starts_with(within))
        .map(|(_, _, mime)| *mime)
}

fn attribute<'t>(attributes: &'t str, name: &str) -> Option<&'t str> {
    let mut rest = attributes;
    while let Some(at) = rest.find(name) {
        let before = rest[..at].chars().next_back();
        let after = rest[at + name.len()..].trim_start();
        let value = after.strip_prefix('=').map(str::trim_start);
        if before.is_none_or(char::is_whitespace)
            && let Some(value) = value
            && let Some(quote) = value.chars().next().filter(|c| matches!(c, '"' | '\''))
        {
            return value[1..].split(quote).next();
        }
        rest = &rest[at + name.len()..];
    }
    None
}

/// Decodes the head, if it begins with markup.
fn decode_markup(head: &[u8]) -> Option<Cow<'_, str>> {
    let head = &head[..head.len().min(MAX_BYTES)];
    let (encoding, mark) = Encoding::for_bom(head).unwrap_or((encoding_rs::UTF_8, 0));
    let body = &head[mark..];
    // Most heads are not markup, which can be seen without decoding them.
    if encoding == encoding_rs::UTF_8 && !body.trim_ascii_start().starts_with(b"<") {
        return None;
    }
    Some(encoding.decode_without_bom_handling(body).0)
}
