//! Filenames of imported media, if neither the client nor the origin gives one.

use encoding_rs::WINDOWS_1252;
use media_domain::media::Filename;
use percent_encoding::percent_decode_str;
use url::Url;

/// Returns the last segment of a URL's path, decoded as UTF-8, or as Windows-1252 if it is not valid UTF-8.
pub(super) fn from_url(url: &Url) -> Option<Filename> {
    let segment = url.path_segments()?.next_back()?;
    let bytes: Vec<u8> = percent_decode_str(segment).collect();
    let text = match std::str::from_utf8(&bytes) {
        Ok(text) => text.into(),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(&bytes).0,
    };
    Filename::from_untrusted(&text)
}

/// Returns the name that the origin gives a file, or a generic one. A name without an extension gets that of the media
/// type.
pub(super) fn with_extension(name: Option<Filename>, extension: Option<&str>) -> Filename {
    let name = name.unwrap_or_else(Filename::download);
    if name.extension().is_some() {
        return name;
    }
    extension
        .and_then(|extension| Filename::new(&format!("{}.{extension}", name.as_str())).ok())
        .unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filename_is_the_last_segment_of_the_path() {
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
        assert_eq!(text("http://h.test/%ff%00.jpg").as_deref(), Some("ÿ.jpg"));
        assert_eq!(text("http://h.test/"), None);
        assert_eq!(text("http://h.test/a/"), None);
    }

    #[test]
    fn a_name_without_an_extension_gets_that_of_the_type() {
        let name = |name: Option<&str>, extension| {
            let name = name.map(|name| Filename::new(name).unwrap());
            with_extension(name, extension).as_str().to_owned()
        };
        assert_eq!(name(None, Some("png")), "download.png");
        assert_eq!(name(None, None), "download");
        assert_eq!(name(Some("photo"), Some("jpg")), "photo.jpg");
        assert_eq!(name(Some("photo.jpeg"), Some("jpg")), "photo.jpeg");
        assert_eq!(name(Some("photo.old"), Some("jpg")), "photo.old");
        assert_eq!(name(Some("photo"), None), "photo");
        let long = "x".repeat(255);
        assert_eq!(name(Some(&long), Some("jpg")), long);
    }

    proptest::proptest! {
        #[test]
        fn names_from_urls_are_safe(text in "\\PC{0,60}") {
            let url = Url::parse("http://origin.test/").unwrap().join(&text).ok();
            if let Some(name) = url.as_ref().and_then(from_url) {
                let name = name.as_str();
                proptest::prop_assert!(!name.is_empty() && !name.contains(['/', '\\', '\0']), "{name:?}");
                proptest::prop_assert!(name != "." && name != ".." && name.len() <= 255, "{name:?}");
            }
        }
    }
}
