//! Files in the ISO base media format (ISO/IEC 14496-12), such as MP4, QuickTime and HEIF, detected by their brands and
//! tracks.

use super::family::{Family, Found};

/// The boxes around a track's handler, from the outside in.
const CONTAINER_BOXES: [&[u8; 4]; 3] = [b"moov", b"trak", b"mdia"];

/// The kinds of tracks in the part of `moov` that is in the head.
#[derive(Default)]
struct Tracks {
    video: bool,
    audio: bool,
    /// Whether the head contains all of `moov`.
    complete: bool,
}

/// Detects the type of a file in this format.
pub(super) fn sniff(head: &[u8]) -> Option<Found> {
    let kind: &[u8; 4] = head.get(4..8)?.try_into().ok()?;
    match kind {
        b"ftyp" => by_brands(head),
        // QuickTime files from before brands were introduced.
        b"moov" | b"mdat" | b"wide" | b"pnot" if head[0] == 0 || is_movie_box(head) => {
            Some(Found::exact("video/quicktime"))
        }
        _ => None,
    }
}

fn is_movie_box(head: &[u8]) -> bool {
    matches!(head.get(12..16), Some(b"mvhd" | b"mdat" | b"cmov"))
}

fn by_brands(head: &[u8]) -> Option<Found> {
    let size = be32(head)?;
    let brands = head.get(8..head.len().min(size))?;
    let mut brands = brands.as_chunks::<4>().0.iter();
    let major = brands.next()?;
    // The minor version follows the major brand.
    let compatible: Vec<&[u8; 4]> = brands.skip(1).collect();
    let has = |brand: &[u8; 4]| compatible.contains(&brand);
    Some(match major {
        b"avif" | b"avis" => Found::exact("image/avif"),
        b"heic" | b"heix" | b"heim" | b"heis" => Found::exact("image/heic"),
        b"hevc" | b"hevx" | b"hevm" | b"hevs" => Found::exact("image/heic-sequence"),
        b"mif1" | b"msf1" | b"miaf" if has(b"avif") || has(b"avis") => Found::exact("image/avif"),
        b"mif1" | b"miaf" if has(b"heic") || has(b"heix") => Found::exact("image/heic"),
        b"msf1" if has(b"hevc") || has(b"hevx") => Found::exact("image/heic-sequence"),
        b"mif1" | b"miaf" => Found::exact("image/heif"),
        b"msf1" => Found::exact("image/heif-sequence"),
        b"crx " => Found::exact("image/x-canon-cr3"),
        b"M4A " | b"M4B " | b"M4P " | b"F4A " | b"F4B " => Found::exact("audio/mp4"),
        b"M4V " | b"M4VH" | b"M4VP" => Found::exact("video/x-m4v"),
        b"qt  " => Found::exact("video/quicktime"),
        b"mjp2" | b"mj2s" => Found::exact("video/mj2"),
        [b'3', b'g', b'2', _] => Found::new("video/3gpp2", Family::ThreeGp),
        [b'3', b'g', _, _] => Found::new("video/3gpp", Family::ThreeGp),
        _ => by_tracks(head),
    })
}

fn by_tracks(head: &[u8]) -> Found {
    let tracks = Tracks::parse(head);
    if tracks.video {
        Found::new("video/mp4", Family::Mp4Video)
    } else if tracks.audio && tracks.complete {
        Found::exact("audio/mp4")
    } else {
        Found::new("video/mp4", Family::Mp4)
    }
}

impl Tracks {
    fn parse(head: &[u8]) -> Self {
        let mut tracks = Self::default();
        tracks.walk(head, 0);
        tracks
    }

    fn walk(&mut self, mut rest: &[u8], depth: usize) {
        while let Some(size) = be32(rest)
            && let Some(kind) = rest.get(4..8)
        {
            let (begin, size) = match size {
                0 => (8, rest.len()),
                1 => (16, be64(rest.get(8..).unwrap_or_default())),
                size => (8, size),
            };
            let end = rest.len().min(size);
            let content = rest.get(begin..end).unwrap_or_default();
            if CONTAINER_BOXES.get(depth).is_some_and(|name| kind == *name) {
                self.complete |= depth == 0 && size <= rest.len();
                self.walk(content, depth + 1);
            } else if depth == CONTAINER_BOXES.len() && kind == b"hdlr" {
                self.video |= content.get(8..12) == Some(b"vide");
                self.audio |= content.get(8..12) == Some(b"soun");
            }
            if size < 8 || size > rest.len() {
                return;
            }
            rest = &rest[size..];
        }
    }
}

fn be32(bytes: &[u8]) -> Option<usize> {
    let bytes = bytes.first_chunk()?;
    usize::try_from(u32::from_be_bytes(*bytes)).ok()
}

/// A length that is missing or too large counts as one that extends beyond the head.
fn be64(bytes: &[u8]) -> usize {
    let number = bytes.first_chunk().map(|bytes| u64::from_be_bytes(*bytes));
    number
        .and_then(|number| usize::try_from(number).ok())
        .unwrap_or(usize::MAX)
}
