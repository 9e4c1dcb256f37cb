//! MP4, M4A, MOV and their kin (ISO/IEC 14496-12, and the QuickTime File Format before it): boxes
//! within boxes. One of them, `moov`, tells it all, before the frames or after them.

use std::ops::Range;

use super::{Dimensions, Metadata, byte_window::Window, seconds};

/// The frame of a `stsd` before its first entry, and what the entry of a video has before its width.
const BEFORE_WIDTH: u64 = 8 + 32;

/// A box: what it is, and where its content stands.
struct Atom {
    kind: [u8; 4],
    content: Range<u64>,
}

/// Whether a file begins as one of these does. Old ones of QuickTime have no `ftyp`.
pub(super) fn is_one(window: &Window) -> bool {
    let kind: Option<[u8; 4]> = window.array(4);
    kind.is_some_and(|kind| matches!(&kind, b"ftyp" | b"moov" | b"mdat" | b"wide" | b"free"))
}

/// Reads the header of the film and of its first video.
pub(super) fn read(window: &Window) -> Metadata {
    let Some(film) = child(window, 0..window.size(), *b"moov") else {
        return Metadata::default();
    };
    let mut found = Metadata::default();
    let mut timescale = 0;
    for atom in atoms(window, film) {
        match &atom.kind {
            b"mvhd" => {
                if let Some((scale, units)) = film_header(window, atom.content.start) {
                    timescale = scale;
                    found.duration = seconds(units, scale.into());
                }
            }
            b"trak" if found.dimensions.is_none() => {
                found.dimensions = video(window, atom.content);
            }
            // The film is in fragments, and its header may know nothing of their duration.
            b"mvex" if found.duration.is_none() => {
                found.duration = child(window, atom.content, *b"mehd")
                    .and_then(|header| unsigned(window, header.start, 4, 4))
                    .and_then(|units| seconds(units, timescale.into()));
            }
            _ => {}
        }
    }
    found
}

/// Units of time in a second, and the duration in them.
fn film_header(window: &Window, at: u64) -> Option<(u32, u64)> {
    let version = window.array::<1>(at)?;
    // Before it, two times that are as long as the duration is.
    let timescale = window.be32(at + if version == [1] { 20 } else { 12 })?;
    Some((timescale, unsigned(window, at, 16, 24)?))
}

/// A number in a box whose version says whether it takes 32 bits or 64, and so where it stands. All
/// ones stand for nothing known.
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

/// The size of a track's pictures, if it is a video.
fn video(window: &Window, track: Range<u64>) -> Option<Dimensions> {
    let media = child(window, track, *b"mdia")?;
    let handler = child(window, media.clone(), *b"hdlr")?;
    if window.array(handler.start + 8)? != *b"vide" {
        return None;
    }
    let information = child(window, media, *b"minf")?;
    let table = child(window, information, *b"stbl")?;
    let description = child(window, table, *b"stsd")?;
    let at = description.start + BEFORE_WIDTH;
    Dimensions::new(window.be16(at)?.into(), window.be16(at + 2)?.into())
}

fn child(window: &Window, parent: Range<u64>, kind: [u8; 4]) -> Option<Range<u64>> {
    atoms(window, parent)
        .find(|atom| atom.kind == kind)
        .map(|atom| atom.content)
}

/// The boxes between two places, up to the first that is not at hand or makes no sense.
fn atoms(window: &Window, within: Range<u64>) -> impl Iterator<Item = Atom> {
    let mut at = within.start;
    std::iter::from_fn(move || {
        // The one before may claim to end outside.
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
