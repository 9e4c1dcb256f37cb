//! Decoding of the encodings in which names are sent.

use std::borrow::Cow;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use percent_encoding::percent_decode;

/// Accepts base64 with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// The percent-escapes that are decoded in a plain value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PercentDecoding {
    /// All escapes, if every `%` begins a valid one. RFC 6266 defines none, but many origins send them.
    All,
    /// The three escapes that browsers write in forms (HTML §4.10.21.8): `%22`, `%0D` and `%0A`. Browsers do not escape
    /// a `%` of the name itself.
    Form,
}

/// The result of decoding a `filename*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quality {
    /// The value conforms to RFC 8187, or is unambiguous.
    Good,
    /// The charset is unknown or missing, or the bytes are invalid in it.
    Broken,
}

/// Decodes a plain value: as UTF-8, or as Windows-1252 (a superset of Latin-1) if it is not valid UTF-8. Encoded words
/// (RFC 2047) and percent-escapes are decoded, too.
pub(super) fn text(value: &[u8], percent: PercentDecoding) -> String {
    let plain = utf8_or_latin1(value);
    if let Some(decoded) = encoded_words(&plain) {
        return decoded;
    }
    match percent {
        PercentDecoding::Form => plain
            .replace("%22", "\"")
            .replace("%0D", "\r")
            .replace("%0d", "\r")
            .replace("%0A", "\n")
            .replace("%0a", "\n"),
        PercentDecoding::All => percent_decoded(value)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_else(|| plain.into_owned()),
    }
}

/// Decodes a value with a charset, such as `UTF-8'en'a%20name` (RFC 8187 §3.2).
pub(super) fn extended(value: &[u8]) -> (Quality, String) {
    let mut parts = value.splitn(3, |byte| *byte == b'\'');
    let (charset, rest) = match (parts.next(), parts.next(), parts.next()) {
        (Some(charset), Some(_), Some(rest)) => (Some(charset), rest),
        _ => (None, value),
    };
    let rest = match rest {
        [b'"', inner @ .., b'"'] => inner,
        rest => rest,
    };
    let encoding = charset.and_then(|charset| match charset.trim_ascii() {
        b"" => Some(UTF_8),
        label => Encoding::for_label(label),
    });
    if let Some(encoding) = encoding
        && let Some(bytes) = percent_decoded(rest)
        && let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(&bytes)
    {
        return (Quality::Good, text.into_owned());
    }
    let bytes: Vec<u8> = percent_decode(rest).collect();
    (Quality::Broken, utf8_or_latin1(&bytes).into_owned())
}

/// Decodes bytes in an unknown charset.
pub(super) fn utf8_or_latin1(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

/// Decodes percent-escapes. Returns None if a `%` does not begin a valid escape.
fn percent_decoded(value: &[u8]) -> Option<Vec<u8>> {
    let is_escape = |rest: &[u8]| matches!(rest, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
    let mut escapes = value.split(|byte| *byte == b'%').skip(1);
    escapes
        .all(is_escape)
        .then(|| percent_decode(value).collect())
}

/// Decodes the encoded words in a text (RFC 2047 §2). Returns None if there are none. White space between two encoded
/// words is not part of the text, and a character may be split between two words of the same charset.
fn encoded_words(text: &str) -> Option<String> {
    let mut decoded = String::new();
    let mut pending: Option<(&'static Encoding, Vec<u8>)> = None;
    let mut rest = text;
    let mut found = false;
    while let Some(begin) = rest.find("=?") {
        let Some((charset, bytes, after)) = encoded_word(&rest[begin..]) else {
            let (before, after) = rest.split_at(begin + 2);
            flush(&mut decoded, &mut pending);
            decoded.push_str(before);
            rest = after;
            continue;
        };
        let between = &rest[..begin];
        let is_adjacent = found && between.trim().is_empty();
        match &mut pending {
            Some((encoding, word)) if is_adjacent && *encoding == charset => word.extend(bytes),
            _ => {
                flush(&mut decoded, &mut pending);
                decoded.push_str(if is_adjacent { "" } else { between });
                pending = Some((charset, bytes));
            }
        }
        found = true;
        rest = after;
    }
    flush(&mut decoded, &mut pending);
    decoded.push_str(rest);
    found.then_some(decoded)
}

fn flush(decoded: &mut String, pending: &mut Option<(&'static Encoding, Vec<u8>)>) {
    if let Some((encoding, bytes)) = pending.take() {
        decoded.push_str(&encoding.decode_without_bom_handling(&bytes).0);
    }
}

/// Parses the encoded word at the beginning of a text into its charset, its bytes and the text after it.
fn encoded_word(text: &str) -> Option<(&'static Encoding, Vec<u8>, &str)> {
    let (charset, rest) = text.strip_prefix("=?")?.split_once('?')?;
    // A language may follow the charset (RFC 2231 §5).
    let charset = charset.split('*').next().unwrap_or_default();
    let encoding = Encoding::for_label(charset.as_bytes())?;
    let (form, rest) = rest.split_once('?')?;
    let (word, after) = rest.split_once("?=")?;
    let bytes = match form {
        "B" | "b" => BASE64.decode(word.trim()).ok()?,
        "Q" | "q" => {
            let escaped = word.replace('%', "%25").replace('_', " ").replace('=', "%");
            percent_decode(escaped.as_bytes()).collect()
        }
        _ => return None,
    };
    Some((encoding, bytes, after))
}
