//! Charsets of text: declared, or detected in the bytes.

use encoding_rs::Encoding;

use super::xml;

/// The maximum length of a charset's name (RFC 2978 §2.3).
const MAX_LABEL_BYTES: usize = 40;
/// The number of bytes within which HTML declares its charset (HTML §4.2.5.4).
const MAX_META_OFFSET: usize = 1024;

/// Parses the declared name of a charset into lower case. Returns None if it is malformed.
pub(super) fn label(value: &[u8]) -> Option<String> {
    let value = value.trim_ascii();
    let value = value.strip_prefix(b"'").unwrap_or(value);
    let value = value.strip_suffix(b"'").unwrap_or(value);
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+()".contains(byte);
    let is_label = !value.is_empty() && value.len() <= MAX_LABEL_BYTES && value.iter().all(is_part);
    is_label.then(|| String::from_utf8_lossy(value).to_ascii_lowercase())
}

/// Detects the charset of a textual type: by a byte order mark, by the declaration in XML and HTML, or by valid UTF-8
/// beyond ASCII. ASCII alone has no detectable charset: it is the same in most charsets.
pub(super) fn detect(head: &[u8], mime: &str) -> Option<String> {
    if let Some((encoding, _)) = Encoding::for_bom(head) {
        return Some(encoding.name().to_ascii_lowercase());
    }
    if head.is_ascii() {
        return None;
    }
    let own = match mime {
        "text/html" => html_charset(head),
        mime if mime.ends_with("xml") => xml::encoding(head).and_then(|name| label(&name)),
        _ => None,
    };
    own.or_else(|| is_utf8(head).then(|| "utf-8".to_owned()))
}

/// Whether the bytes are valid UTF-8 with characters beyond ASCII. The last character may be truncated.
fn is_utf8(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(_) => head,
        Err(error) if error.error_len().is_none() => &head[..error.valid_up_to()],
        Err(_) => return false,
    };
    !valid.is_ascii()
}

/// Finds the charset in a `meta` element: `charset="…"`, as an attribute or within `content`.
fn html_charset(head: &[u8]) -> Option<String> {
    let head = head[..head.len().min(MAX_META_OFFSET)].to_ascii_lowercase();
    let meta = memchr::memmem::find_iter(&head, b"<meta").find_map(|begin| {
        let element = head[begin..].split(|byte| *byte == b'>').next()?;
        let at = memchr::memmem::find(element, b"charset")?;
        let value = element[at + b"charset".len()..].trim_ascii_start();
        let value = value.strip_prefix(b"=")?.trim_ascii_start();
        let value = value.strip_prefix(b"\"").unwrap_or(value);
        let value = value.strip_prefix(b"'").unwrap_or(value);
        let end = value
            .iter()
            .position(|byte| byte.is_ascii_whitespace() || b"\"';/".contains(byte));
        label(&value[..end.unwrap_or(value.len())])
    });
    // A document whose `meta` element is readable as ASCII is not UTF-16 (HTML §13.2.3.2).
    meta.filter(|label| !label.starts_with("utf-16"))
}
