//! What an imported media is called, if the client does not say.

use media_shared::media::Filename;
use parse_net::disposition;
use percent_encoding::percent_decode_str;
use url::Url;

/// The name in `Content-Disposition`: `filename*` (RFC 8187) before `filename` (RFC 6266 §4.3). A
/// header that breaks the grammar names nothing.
pub fn from_content_disposition(value: &[u8]) -> Option<Filename> {
    let parsed = disposition::parse(value, &parse_net::Limits::DEFAULT).ok()?;
    let name = parsed.filename()?;
    let mut buffer = vec![0; name.max_decoded_len()];
    let text = match name.decode_into(&mut buffer) {
        Ok(text) => text.to_owned(),
        Err(_) => latin1(&parsed)?,
    };
    Filename::from_untrusted(&text)
}

/// A `filename` whose bytes are not UTF-8: ISO-8859-1, as HTTP once had it (RFC 2616 §2.2).
fn latin1(parsed: &disposition::ContentDisposition<'_>) -> Option<String> {
    let word = parsed.filename_plain()?;
    let mut buffer = vec![0; word.len()];
    let bytes = word.unescape_into(&mut buffer).ok()?;
    Some(bytes.iter().map(|byte| char::from(*byte)).collect())
}

/// The last segment of a URL's path, decoded.
pub fn from_url(url: &Url) -> Option<Filename> {
    let segment = url.path_segments()?.next_back()?;
    Filename::from_untrusted(&percent_decode_str(segment).decode_utf8_lossy())
}

/// A name made of nothing but what the bytes are.
pub fn fallback(extension: Option<&str>) -> Filename {
    let name = Filename::download();
    extension
        .and_then(|extension| Filename::new(&format!("{}.{extension}", name.as_str())).ok())
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header(value: &[u8]) -> Option<String> {
        from_content_disposition(value).map(|name| name.as_str().to_owned())
    }

    #[test]
    fn a_header_names_the_file_as_rfc_6266_has_it() {
        for (value, expected) in [
            (&b"attachment; filename=\"a b.jpg\""[..], Some("a b.jpg")),
            (b"attachment; filename=plain.jpg", Some("plain.jpg")),
            (
                b"inline; filename=\"x.jpg\"; filename*=UTF-8''%E2%82%AC%20rates.jpg",
                Some("€ rates.jpg"),
            ),
            (
                b"attachment; filename*=iso-8859-1''caf%E9.png",
                Some("café.png"),
            ),
            (
                b"attachment; filename=\"semi;colon.jpg\"",
                Some("semi;colon.jpg"),
            ),
            (
                b"attachment; filename=\"quo\\\"te.jpg\"",
                Some("quo\"te.jpg"),
            ),
            (b"attachment; filename=\"caf\xe9.png\"", Some("café.png")),
            (b"attachment; filename=\"../../etc/passwd\"", Some("passwd")),
            (
                b"attachment; filename=\"C:\\\\temp\\\\a.jpg\"",
                Some("a.jpg"),
            ),
            (b"attachment; filename=\"\"", None),
            (b"attachment", None),
            (b"\x00", None),
        ] {
            assert_eq!(
                header(value).as_deref(),
                expected,
                "{}",
                value.escape_ascii()
            );
        }
    }

    #[test]
    fn a_url_names_the_file_by_its_last_segment() {
        let name = |url: &str| from_url(&Url::parse(url).unwrap());
        let text = |url: &str| name(url).map(|name| name.as_str().to_owned());
        assert_eq!(
            text("http://h.test/a/b%20c.jpg?x=y").as_deref(),
            Some("b c.jpg")
        );
        assert_eq!(
            text("http://h.test/a/..%2f..%2fpasswd").as_deref(),
            Some("passwd")
        );
        assert_eq!(
            text("http://h.test/%ff%00.jpg").as_deref(),
            Some("\u{fffd}.jpg")
        );
        assert_eq!(text("http://h.test/"), None);
        assert_eq!(text("http://h.test/a/"), None);
        assert_eq!(fallback(Some("png")).as_str(), "download.png");
        assert_eq!(fallback(None).as_str(), "download");
    }

    proptest::proptest! {
        #[test]
        fn no_header_and_no_url_makes_it_fail(value: Vec<u8>, text in "\\PC{0,60}") {
            let parameters = [
                value.clone(),
                [b"attachment; filename=".as_slice(), &value].concat(),
                [b"inline; filename*=UTF-8''".as_slice(), &value].concat(),
            ];
            let url = Url::parse("http://origin.test/").unwrap().join(&text).ok();
            let names = parameters
                .iter()
                .filter_map(|value| from_content_disposition(value))
                .chain(url.as_ref().and_then(from_url));
            for name in names {
                let name = name.as_str();
                proptest::prop_assert!(!name.is_empty() && !name.contains(['/', '\\', '\0']), "{name:?}");
                proptest::prop_assert!(name != "." && name != ".." && name.len() <= 255, "{name:?}");
            }
        }
    }
}
