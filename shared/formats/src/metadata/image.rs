//! Reads the dimensions and the orientation of images.

use std::io::{Cursor, Read as _};

use exif::{Exif, In, Tag};
use media_domain::media::{Dimensions, Metadata, Orientation};

use super::byte_window::Window;

/// The largest Exif block of a WebP file that is read, in bytes: as large as JPEG allows.
const MAX_EXIF_BYTES: u64 = 64 * 1024;
/// The most chunks of a WebP file that are searched. Animations have a chunk for each frame.
const MAX_CHUNKS: usize = 1000;
/// The offset of the flags in a WebP file with an extended header, and the flag of an Exif block
/// (<https://developers.google.com/speed/webp/docs/riff_container>).
const WEBP_FLAGS: u64 = 20;
const WEBP_HAS_EXIF: u8 = 0x08;

/// Reads the headers of an image.
pub(super) fn read(window: &Window) -> Metadata {
    let stored = imagesize::blob_size(window.bytes_from(0))
        .ok()
        .and_then(|size| {
            Dimensions::new(
                u32::try_from(size.width).ok()?,
                u32::try_from(size.height).ok()?,
            )
        });
    let orientation = stored.and_then(|_| orientation(window));
    Metadata {
        dimensions: stored.map(|stored| stored.oriented(orientation)),
        orientation,
        duration: None,
    }
}

/// The Exif orientation. Formats that rotate by other means (HEIF, AVIF) ignore that of Exif.
fn orientation(window: &Window) -> Option<Orientation> {
    let head = window.bytes_from(0);
    let exif = if head.starts_with(b"RIFF") {
        parse(|reader| reader.read_raw(webp_exif(window).unwrap_or_default()))
    } else if [&b"\xff\xd8"[..], b"\x89PNG", b"II*\0", b"MM\0*"]
        .iter()
        .any(|signature| head.starts_with(signature))
    {
        parse(|reader| reader.read_from_container(&mut Cursor::new(head)))
    } else {
        None
    };
    let exif = exif?;
    let field = exif.get_field(Tag::Orientation, In::PRIMARY)?;
    Orientation::new(field.value.get_uint(0)?)
}

/// Parses an Exif block, as far as it is well-formed.
fn parse(read: impl FnOnce(&exif::Reader) -> Result<Exif, exif::Error>) -> Option<Exif> {
    let mut reader = exif::Reader::new();
    reader.continue_on_error(true);
    read(&reader)
        .or_else(|error| error.distill_partial_result(|_| {}))
        .ok()
}

/// The Exif block of a WebP file, which comes after the picture.
fn webp_exif(window: &Window) -> Option<Vec<u8>> {
    let is_extended = window.array(8)? == *b"WEBP" && window.array(12)? == *b"VP8X";
    let [flags] = window.array(WEBP_FLAGS)?;
    if !is_extended || flags & WEBP_HAS_EXIF == 0 {
        return None;
    }
    let mut at: u64 = 12;
    for _ in 0..MAX_CHUNKS {
        let kind: [u8; 4] = window.array(at)?;
        let size = u64::from(u32::from_le_bytes(window.array(at + 4)?));
        if kind == *b"EXIF" {
            let mut exif = Vec::new();
            let content = window.stream(at + 8);
            let read = content
                .take(size.min(MAX_EXIF_BYTES))
                .read_to_end(&mut exif);
            // Some writers keep the signature of JPEG.
            let signature = exif.starts_with(b"Exif\0\0").then_some(6);
            return read.ok().map(|_| exif.split_off(signature.unwrap_or(0)));
        }
        // Chunks have even lengths.
        at = at.checked_add(8 + size + size % 2)?;
    }
    None
}
