use super::*;

mod samples;
mod table;

use table::{archives, audio_and_video, images_and_fonts, markup, texts};

#[test]
fn the_detected_type_is_that_of_the_table() {
    let rows = [
        archives(),
        audio_and_video(),
        images_and_fonts(),
        markup(),
        texts(),
    ];
    for (name, bytes, declared, expected) in rows.concat() {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        let found = detect(&bytes, declared, extension);
        let begin = bytes[..bytes.len().min(24)].escape_ascii();
        assert_eq!(found.mime, expected, "`{name}` {declared:?} {begin}");
    }
}

#[test]
fn text_has_the_declared_or_else_the_detected_charset() {
    for (bytes, declared, expected) in [
        (&b"a"[..], Some("text/plain; charset=UTF-8"), Some("utf-8")),
        (
            b"a",
            Some("text/plain;charset=\"iso-8859-2\"; x=y"),
            Some("iso-8859-2"),
        ),
        (b"a", Some("text/plain; charset='utf-8'"), Some("utf-8")),
        (
            b"a",
            Some("text/plain; Charset = x-unknown"),
            Some("x-unknown"),
        ),
        (
            b"\xef\xbb\xbfa",
            Some("text/plain; charset=utf-16"),
            Some("utf-16"),
        ),
        (b"a", Some("text/plain; charset=\"a\r\nb\""), None),
        (b"a", Some("text/plain; charset="), None),
        (b"\xef\xbb\xbfa", None, Some("utf-8")),
        (b"\xfe\xff\0a", None, Some("utf-16be")),
        ("é".as_bytes(), None, Some("utf-8")),
        (&"éé".as_bytes()[..3], None, Some("utf-8")),
        (b"caf\xe9", None, None),
        (b"plain", None, None),
        (
            b"<?xml version=\"1.0\" encoding='ISO-8859-1' ?><rss>\xe9",
            None,
            Some("iso-8859-1"),
        ),
        (
            b"<?xml version=\"1.0\" encoding='ISO-8859-1' ?><rss/>",
            None,
            None,
        ),
        (
            b"<!DOCTYPE html><META CHARSET=Shift_JIS>\x82\xa0",
            None,
            Some("shift_jis"),
        ),
        (
            b"<html><meta http-equiv=a content=\"text/html; charset=koi8-r\">\xc1",
            None,
            Some("koi8-r"),
        ),
        (b"<html><meta name=charset>\xe9", None, None),
        (
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR",
            Some("image/png; charset=utf-8"),
            None,
        ),
    ] {
        let found = detect(bytes, declared, None).charset;
        assert_eq!(
            found.as_deref(),
            expected,
            "{} {declared:?}",
            bytes.escape_ascii()
        );
    }
}

#[test]
fn a_type_has_its_usual_extension() {
    for (mime, expected) in [
        ("text/plain", Some("txt")),
        ("image/jpeg", Some("jpg")),
        ("image/png", Some("png")),
        ("audio/mp4", Some("m4a")),
        ("video/ogg", Some("ogv")),
        ("model/vnd.usdz+zip", Some("usdz")),
        ("application/x-nothing", None),
    ] {
        assert_eq!(names::extension_of(mime), expected, "{mime}");
    }
}

proptest::proptest! {
    #[test]
    fn every_head_has_a_type(head: Vec<u8>, declared in "\\PC{0,40}", extension in "[a-z0-9]{0,5}") {
        for begin in [&b""[..], b"PK\x03\x04", b"OggS\0\x02", b"\0\0\0\x18ftyp", b"ID3\x04\0\0", b"II*\0", b"<?xml ", b"<svg ", b"\xff\xfb\x90", b"\xff\xfe", b"\0\0\0\x40moov"] {
            let head = [begin, &head].concat();
            let found = detect(&head, Some(&declared), Some(&extension));
            proptest::prop_assert!(found.mime.is_ascii() && found.mime.contains('/'), "{found:?}");
            let charset = found.charset.unwrap_or_default();
            proptest::prop_assert!(!charset.contains(|c: char| c.is_ascii_control() || "\"; ".contains(c)));
        }
    }
}
