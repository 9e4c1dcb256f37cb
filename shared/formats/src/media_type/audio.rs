//! Audio without a container: MPEG audio and AAC, optionally preceded by ID3 tags.

use super::family::{Family, Found};

/// The maximum number of tags before the audio.
const MAX_TAGS: usize = 4;
/// The number of consecutive frames that are required, as far as they are available: a single header can occur by
/// chance.
const MIN_FRAMES: usize = 3;

/// Detects the type of an audio file without a container.
pub(super) fn sniff(head: &[u8]) -> Option<Found> {
    if tag_length(head).is_some() {
        return Some(after_tags(head));
    }
    stream(head).map(Found::exact)
}

/// Detects the type by the bytes after the ID3 tags.
fn after_tags(head: &[u8]) -> Found {
    let mut rest = head;
    for _ in 0..MAX_TAGS {
        match tag_length(rest) {
            Some(length) => rest = rest.get(length..).unwrap_or_default(),
            None => break,
        }
    }
    // Some writers pad the tag with zeros.
    let begin = rest.iter().position(|byte| *byte != 0);
    let rest = begin.map_or(&[][..], |begin| &rest[begin..]);
    let known = match rest {
        [b'f', b'L', b'a', b'C', ..] => Some("audio/flac"),
        [b'M', b'A', b'C', b' ', ..] => Some("audio/x-ape"),
        [b'w', b'v', b'p', b'k', ..] => Some("audio/x-wavpack"),
        [b'T', b'T', b'A', b'1', ..] => Some("audio/x-tta"),
        rest => stream(rest),
    };
    match known {
        Some(mime) => Found::exact(mime),
        None => Found::new("audio/mpeg", Family::Id3),
    }
}

/// The length of an ID3v2 tag at the beginning (ID3v2.4 §3.1).
fn tag_length(bytes: &[u8]) -> Option<usize> {
    let [b'I', b'D', b'3', version, revision, flags, size @ ..] = bytes else {
        return None;
    };
    let size = size.first_chunk::<4>()?;
    let is_tag = *version < 0x10 && *revision < 0x10 && size.iter().all(|byte| *byte < 0x80);
    let length = size
        .iter()
        .fold(0, |length, byte| length << 7 | usize::from(*byte));
    let footer = if flags & 0x10 == 0 { 0 } else { 10 };
    is_tag.then_some(10 + length + footer)
}

/// Detects MPEG audio or AAC by consecutive frames.
fn stream(bytes: &[u8]) -> Option<&'static str> {
    if has_frames(bytes, mpeg_frame) {
        Some("audio/mpeg")
    } else if has_frames(bytes, adts_frame) {
        Some("audio/aac")
    } else {
        None
    }
}

fn has_frames(bytes: &[u8], frame_length: fn(&[u8]) -> Option<usize>) -> bool {
    let mut rest = bytes;
    for _ in 0..MIN_FRAMES {
        match frame_length(rest) {
            Some(length) if length < rest.len() => rest = &rest[length..],
            // The frame ends at the end of the head or after it.
            Some(_) => return true,
            // Too few bytes are left for another header.
            None => return rest.len() < 4 && rest.len() < bytes.len(),
        }
    }
    true
}

/// The length of a frame of MPEG audio, layer II or III (ISO/IEC 11172-3 §2.4.1.3).
fn mpeg_frame(bytes: &[u8]) -> Option<usize> {
    const V1_LAYER_3_KBPS: [usize; 14] = [
        32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320,
    ];
    const V1_LAYER_2_KBPS: [usize; 14] = [
        32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384,
    ];
    const V2_KBPS: [usize; 14] = [8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160];
    const SAMPLE_RATES_HZ: [usize; 3] = [44_100, 48_000, 32_000];
    let [0xff, second, third, _, ..] = bytes else {
        return None;
    };
    let (version, layer) = (second >> 3 & 3, second >> 1 & 3);
    if second & 0xe0 != 0xe0 || version == 1 || !matches!(layer, 1 | 2) {
        return None;
    }
    let bitrate = usize::from(third >> 4).checked_sub(1)?;
    let rate = SAMPLE_RATES_HZ.get(usize::from(third >> 2 & 3))?;
    let (bitrates, rate) = match (version, layer) {
        (3, 1) => (V1_LAYER_3_KBPS, *rate),
        (3, _) => (V1_LAYER_2_KBPS, *rate),
        (2, _) => (V2_KBPS, rate / 2),
        _ => (V2_KBPS, rate / 4),
    };
    let samples = if layer == 1 && version != 3 { 72 } else { 144 };
    let padding = usize::from(third >> 1 & 1);
    Some(samples * bitrates.get(bitrate)? * 1000 / rate + padding)
}

/// The length of a frame of AAC with its header (ISO/IEC 13818-7 §6.2, ADTS).
fn adts_frame(bytes: &[u8]) -> Option<usize> {
    let [0xff, second, third, fourth, fifth, sixth, ..] = bytes else {
        return None;
    };
    let is_header = second & 0xf6 == 0xf0 && third >> 2 & 0xf < 13;
    let length = usize::from(fourth & 3) << 11 | usize::from(*fifth) << 3 | usize::from(sixth >> 5);
    (is_header && length >= 7).then_some(length)
}
