//! Ogg files contain audio or video, depending on the streams at their beginning (RFC 3533 §6, RFC 5334).

use super::family::{Family, Found};

/// The maximum number of streams that are read.
const MAX_STREAMS: usize = 16;

/// The signatures of video streams.
const VIDEO_SIGNATURES: [&[u8]; 4] = [b"\x80theora", b"BBCD\0", b"\x01video\0\0\0", b"OVP80"];
/// The signatures of audio streams.
const AUDIO_SIGNATURES: [&[u8]; 7] = [
    b"\x01vorbis",
    b"OpusHead",
    b"Speex   ",
    b"\x7fFLAC",
    b"fLaC",
    b"PCM     ",
    b"\x01audio\0\0\0",
];

/// Detects the type of an Ogg file by its streams.
pub(super) fn sniff(head: &[u8]) -> Option<Found> {
    if !head.starts_with(b"OggS\0") {
        return None;
    }
    let (mut has_video, mut has_audio) = (false, false);
    for stream in streams(head) {
        let is_any = |of: &[&[u8]]| of.iter().any(|begin| stream.starts_with(begin));
        has_video |= is_any(&VIDEO_SIGNATURES);
        has_audio |= is_any(&AUDIO_SIGNATURES);
    }
    Some(match (has_video, has_audio) {
        (true, _) => Found::exact("video/ogg"),
        (false, true) => Found::new("audio/ogg", Family::OggAudio),
        (false, false) => Found::new("application/ogg", Family::Ogg),
    })
}

/// The first packet of each stream. The first pages of all streams precede all other pages.
fn streams(head: &[u8]) -> Vec<&[u8]> {
    const FIRST_PAGE_FLAG: u8 = 2;
    let mut streams = Vec::new();
    let mut rest = head;
    while streams.len() < MAX_STREAMS
        && rest.starts_with(b"OggS\0")
        && let Some(segments) = rest.get(26).map(|count| usize::from(*count))
        && let Some(table) = rest.get(27..27 + segments)
        && rest[5] & FIRST_PAGE_FLAG != 0
    {
        let begin = 27 + segments;
        let size: usize = table.iter().map(|length| usize::from(*length)).sum();
        streams.push(&rest[begin..rest.len().min(begin + size)]);
        rest = rest.get(begin + size..).unwrap_or_default();
    }
    streams
}
