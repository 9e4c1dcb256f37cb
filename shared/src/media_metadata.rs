//! What the bytes of a media say about it beside their type: the size of a picture.

use serde::{Deserialize, Serialize};

/// What is known of a media; what is not is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Metadata {
    /// The width of a picture, in pixels, as it is stored: a camera's note of how it was held is not
    /// applied.
    pub width: u32,
    /// Its height.
    pub height: u32,
}

/// Reads the head of a media of a type. It is never read further, whatever it says of itself.
pub fn read(head: &[u8], mime: &str) -> Option<Metadata> {
    // The reader of headers takes any file of the family of MP4 for a picture.
    if !mime.starts_with("image/") {
        return None;
    }
    let size = imagesize::blob_size(head).ok()?;
    let width = u32::try_from(size.width).ok().filter(|width| *width > 0)?;
    let height = u32::try_from(size.height)
        .ok()
        .filter(|height| *height > 0)?;
    Some(Metadata { width, height })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0";
    const GIF: &[u8] = b"GIF89a\x40\x01\xc8\0\0\0\0";

    #[test]
    fn a_picture_says_its_size() {
        let size = |width, height| Some(Metadata { width, height });
        assert_eq!(read(PNG, "image/png"), size(640, 480));
        assert_eq!(read(GIF, "image/gif"), size(320, 200));
    }

    #[test]
    fn nonsense_says_nothing() {
        let mut none = b"GIF89a".to_vec();
        none.extend([0; 7]);
        for (head, mime) in [
            (PNG, "text/plain"),
            (&PNG[..20], "image/png"),
            (&none, "image/gif"),
            (b"", "image/jpeg"),
            (b"\xff\xd8\xff\xc0", "image/jpeg"),
        ] {
            assert_eq!(read(head, mime), None, "{mime}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_fail(mut head: Vec<u8>, kind in 0..8_usize) {
            const KINDS: [&[u8]; 8] = [
                PNG, GIF, b"\xff\xd8\xff\xe1", b"RIFF\0\0\0\0WEBPVP8X", b"II*\0",
                b"\0\0\0\x18ftypavif", b"\xff\x0a", b"BM",
            ];
            head.splice(0..0, KINDS[kind].iter().copied());
            read(&head, "image/any");
        }
    }
}
