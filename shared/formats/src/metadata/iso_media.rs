//! MP4, M4A, MOV and related formats (ISO/IEC 14496-12, and its predecessor, the QuickTime File Format), which consist
//! of nested boxes. The box `moov`, before or after the frames, contains the metadata.

use std::ops::Range;

use media_domain::media::Orientation;

use super::{Dimensions, Metadata, byte_window::Window, duration_of};

/// The offset of the width in a `stsd` box: the fields before its first entry, and those of a video's entry before the
/// width.
const WIDTH_OFFSET: u64 = 8 + 32;

/// A box, with the range of its content in the file.
struct Atom {
    kind: [u8; 4],
    content: Range<u64>,
}

/// Whether a file begins with a box of this format. Old QuickTime files have no `ftyp`.
pub(super) fn is_iso_media(window: &Window) -> bool {
    let kind: Option<[u8; 4]> = window.array(4);
    kind.is_some_and(|kind| matches!(&kind, b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free"))
}

/// Reads the header of the movie and of its first video track.
pub(super) fn read(window: &Window) -> Metadata {
    let Some(movie) = child(window, 0..window.size(), *b"moov") else {
        return Metadata::default();
    };
    let mut found = Metadata::default();
    let mut timescale = 0;
    for atom in atoms(window, movie) {
        match &atom.kind {
            b"mvhd" => {
                if let Some((scale, units)) = movie_header(window, atom.content.start) {
                    timescale = scale;
                    found.duration = duration_of(units, scale.into());
                }
            }
            b"trak" if found.dimensions.is_none() => {
                if let Some(stored) = video(window, atom.content.clone()) {
                    found.orientation = rotation(window, atom.content);
                    found.dimensions = Some(stored.oriented(found.orientation));
                }
            }
            // The movie is fragmented, and its header may not include the duration of the fragments.
            b"mvex" if found.duration.is_none() => {
                found.duration = child(window, atom.content, *b"mehd")
                    .and_then(|header| unsigned(window, header.start, 4, 4))
                    .and_then(|units| duration_of(units, timescale.into()));
            }
            _ => {}
        }
    }
    found
}

/// The time units per second, and the duration in these units.
fn movie_header(window: &Window, at: u64) -> Option<(u32, u64)> {
    let version = window.array::<1>(at)?;
    // It is preceded by two timestamps with the same width as the duration.
    let timescale = window.be32(at + if version == [1] { 20 } else { 12 })?;
    Some((timescale, unsigned(window, at, 16, 24)?))
}

/// Reads an integer from a box whose version determines its width and its offset: `short` for 32 bits, `long` for 64.
/// All ones mean that the value is unknown.
fn unsigned(window: &Window, at: u64, short: u64, long: u64) -> Option<u64> {
    match window.array(at)? {
        [0] => window
            .be32(at + short)
            .filter(|n| *n != u32::MAX)
            .map(u64::from),
        [1] => window.be64(at + long).filter(|n| *n != u64::MAX),
        _ => None,
    }
}

/// The rotation of a track, by the matrix in its header (ISO/IEC 14496-12 §8.3.2). None if it is upright or distorted.
fn rotation(window: &Window, track: Range<u64>) -> Option<Orientation> {
    const ONE: u32 = 1 << 16;
    const MINUS_ONE: u32 = ONE.wrapping_neg();
    let header = child(window, track, *b"tkhd")?;
    // Three fields before the matrix have the width of the version.
    let at = header.start
        + if window.array(header.start)? == [1] {
            52
        } else {
            40
        };
    let entry = |index: u64| window.be32(at + 4 * index);
    match (entry(0)?, entry(1)?, entry(3)?, entry(4)?) {
        (0, ONE, MINUS_ONE, 0) => Some(Orientation::ROTATED_90),
        (MINUS_ONE, 0, 0, MINUS_ONE) => Some(Orientation::ROTATED_180),
        (0, MINUS_ONE, ONE, 0) => Some(Orientation::ROTATED_270),
        _ => None,
    }
}

/// The dimensions of a track, if it is a video track.
fn video(window: &Window, track: Range<u64>) -> Option<Dimensions> {
    let media = child(window, track, *b"mdia")?;
    let handler = child(window, media.clone(), *b"hdlr")?;
    if window.array(handler.start + 8)? != *b"vide" {
        return None;
    }
    let information = child(window, media, *b"minf")?;
    let table = child(window, information, *b"stbl")?;
    let description = child(window, table, *b"stsd")?;
    let at = description.start + WIDTH_OFFSET;
    Dimensions::new(window.be16(at)?.into(), window.be16(at + 2)?.into())
}

fn child(window: &Window, parent: Range<u64>, kind: [u8; 4]) -> Option<Range<u64>> {
    atoms(window, parent)
        .find(|atom| atom.kind == kind)
        .map(|atom| atom.content)
}

/// The boxes in a range, up to the first that is missing or malformed.
fn atoms(window: &Window, within: Range<u64>) -> impl Iterator<Item = Atom> {
    let mut at = within.start;
    std::iter::from_fn(move || {
        // The previous box may claim to end outside the range.
        if within.end.checked_sub(at)? < 8 {
            return None;
        }
        let (size, kind) = (window.be32(at)?, window.array(at + 4)?);
        let (header, end) = match size {
            0 => (8, within.end),
            1 => (16, at.checked_add(window.be64(at + 8)?)?),
            size => (8, at.checked_add(size.into())?),
        };
        let content = at + header;
        if end < content {
            return None;
        }
        at = end;
        Some(Atom {
            kind,
            content: content..end.min(within.end),
        })
    })
}
