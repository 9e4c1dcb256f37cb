//! The encodings that names come in.

use std::borrow::Cow;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};
use percent_encoding::percent_decode;

/// Takes base64 with and without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Which percent-escapes are undone in a plain value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Percent {
    /// All, if each of them is one: RFC 6266 knows none, but many origins write them.
    All,
    /// The three that browsers write in forms (HTML §4.10.21.8): `%22`, `%0D`, `%0A`. A `%` of the
    /// name itself is not escaped there.
    Form,
}

/// How well a `filename*` could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Quality {
    /// It is what RFC 8187 describes, or can mean nothing else.
    Good,
    /// The charset is unknown or missing, or the bytes are not of that charset.
    Broken,
}

/// A plain value: in UTF-8, or in Windows-1252 if it cannot be UTF-8 (Latin-1 is a part of it); encoded
/// words (RFC 2047) and percent-escapes are undone.
pub(super) fn text(value: &[u8], percent: Percent) -> String {
    let plain = utf8_or_latin1(value);
    if let Some(decoded) = encoded_words(&plain) {
        return decoded;
    }
    match percent {
        Percent::Form => plain
            .replace("%22", "\"")
            .replace("%0D", "\r")
            .replace("%0d", "\r")
            .replace("%0A", "\n")
            .replace("%0a", "\n"),
        Percent::All => unescaped(value)
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .unwrap_or_else(|| plain.into_owned()),
    }
}

/// A value with a charset: `UTF-8'en'a%20name` (RFC 8187 §3.2).
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
        && let Some(bytes) = unescaped(rest)
        && let Some(text) = encoding.decode_without_bom_handling_and_without_replacement(&bytes)
    {
        return (Quality::Good, text.into_owned());
    }
    let bytes: Vec<u8> = percent_decode(rest).collect();
    (Quality::Broken, utf8_or_latin1(&bytes).into_owned())
}

/// Bytes of an unknown charset.
pub(super) fn utf8_or_latin1(bytes: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
    }
}

/// Undoes percent-escapes; nothing if a `%` is none.
fn unescaped(value: &[u8]) -> Option<Vec<u8>> {
    let is_escape = |rest: &[u8]| matches!(rest, [high, low, ..] if high.is_ascii_hexdigit() && low.is_ascii_hexdigit());
    let mut pieces = value.split(|byte| *byte == b'%').skip(1);
    pieces
        .all(is_escape)
        .then(|| percent_decode(value).collect())
}

/// The text with its encoded words decoded (RFC 2047 §2); nothing if there are none. Blanks between
/// two of them are not part of the text, and a character may be torn between two of one charset.
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
        let follows = found && between.trim().is_empty();
        match &mut pending {
            Some((encoding, torn)) if follows && *encoding == charset => torn.extend(bytes),
            _ => {
                flush(&mut decoded, &mut pending);
                decoded.push_str(if follows { "" } else { between });
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

/// Reads the encoded word that a text begins with: its charset, its bytes and the text after it.
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
