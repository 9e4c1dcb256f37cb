//! Charsets of text: as declared, or as the bytes show.

use encoding_rs::Encoding;

use super::xml;

/// The longest name of a charset (RFC 2978 §2.3).
const MAX_LABEL_BYTES: usize = 40;
/// Where HTML names its charset (HTML §4.2.5.4).
const MAX_META_OFFSET: usize = 1024;

/// A charset's name as it was declared, in lower case; nothing if it is none.
pub(super) fn label(value: &[u8]) -> Option<String> {
    let value = value.trim_ascii();
    let value = value.strip_prefix(b"'").unwrap_or(value);
    let value = value.strip_suffix(b"'").unwrap_or(value);
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+()".contains(byte);
    let is_label = !value.is_empty() && value.len() <= MAX_LABEL_BYTES && value.iter().all(is_part);
    is_label.then(|| String::from_utf8_lossy(value).to_ascii_lowercase())
}

/// The charset that bytes of a textual type show: by a byte order mark, by the declaration within XML
/// and HTML, or by characters of UTF-8 and nothing else. ASCII alone shows none: it is the same in most
/// charsets.
pub(super) fn of_bytes(head: &[u8], mime: &str) -> Option<String> {
    if let Some((encoding, _)) = Encoding::for_bom(head) {
        return Some(encoding.name().to_ascii_lowercase());
    }
    if head.is_ascii() {
        return None;
    }
    let own = match mime {
        "text/html" => in_html(head),
        mime if mime.ends_with("xml") => xml::encoding(head).and_then(|name| label(&name)),
        _ => None,
    };
    own.or_else(|| is_utf8(head).then(|| "utf-8".to_owned()))
}

/// Whether there are characters beyond ASCII, all of them in UTF-8. The head may end within one.
fn is_utf8(head: &[u8]) -> bool {
    let valid = match std::str::from_utf8(head) {
        Ok(_) => head,
        Err(error) if error.error_len().is_none() => &head[..error.valid_up_to()],
        Err(_) => return false,
    };
    !valid.is_ascii()
}

/// The charset in a `meta` element: `charset="…"`, alone or within `content`.
fn in_html(head: &[u8]) -> Option<String> {
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
    // Text that can be read as ASCII up to here is not in UTF-16 (HTML §13.2.3.2).
    meta.filter(|label| !label.starts_with("utf-16"))
}
