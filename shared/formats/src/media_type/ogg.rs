//! Ogg is sound or film by the streams that it begins with (RFC 3533 §6, RFC 5334).

use super::family::{Family, Found};

/// The most streams that are looked at.
const MAX_STREAMS: usize = 16;

/// The first bytes of a stream of film.
const FILM: [&[u8]; 4] = [b"\x80theora", b"BBCD\0", b"\x01video\0\0\0", b"OVP80"];
/// The first bytes of a stream of sound.
const SOUND: [&[u8]; 7] = [
    b"\x01vorbis",
    b"OpusHead",
    b"Speex   ",
    b"\x7fFLAC",
    b"fLaC",
    b"PCM     ",
    b"\x01audio\0\0\0",
];

/// The type of an Ogg file by its content, if bytes are Ogg.
pub(super) fn sniff(head: &[u8]) -> Option<Found> {
    if !head.starts_with(b"OggS\0") {
        return None;
    }
    let (mut is_film, mut is_sound) = (false, false);
    for stream in streams(head) {
        let is_any = |of: &[&[u8]]| of.iter().any(|begin| stream.starts_with(begin));
        is_film |= is_any(&FILM);
        is_sound |= is_any(&SOUND);
    }
    Some(match (is_film, is_sound) {
        (true, _) => Found::exact("video/ogg"),
        (false, true) => Found::new("audio/ogg", Family::OggSound),
        (false, false) => Found::new("application/ogg", Family::Ogg),
    })
}

/// The first packets of the streams: their pages stand before all others.
fn streams(head: &[u8]) -> Vec<&[u8]> {
    const FIRST_PAGE: u8 = 2;
    let mut streams = Vec::new();
    let mut rest = head;
    while streams.len() < MAX_STREAMS
        && rest.starts_with(b"OggS\0")
        && let Some(segments) = rest.get(26).map(|count| usize::from(*count))
        && let Some(table) = rest.get(27..27 + segments)
        && rest[5] & FIRST_PAGE != 0
    {
        let begin = 27 + segments;
        let size: usize = table.iter().map(|length| usize::from(*length)).sum();
        streams.push(&rest[begin..rest.len().min(begin + size)]);
        rest = rest.get(begin + size..).unwrap_or_default();
    }
    streams
}
