//! Sound and video: which container it is, and what its header says.

use symphonia::{
    core::{
        codecs::{CodecParameters, audio::well_known::CODEC_ID_OPUS},
        formats::{FormatOptions, FormatReader, Track},
        io::{MediaSourceStream, MediaSourceStreamOptions},
        units::{Duration as Ticks, TimeBase},
    },
    default::formats::{MkvReader, MpaReader, OggReader, WavReader},
};

use super::{
    Dimensions, Metadata,
    byte_window::{Reader, Window},
    iso_media, seconds,
};

/// How many tags may stand before the sound. One should do.
const MAX_TAGS: usize = 4;

/// Reads the header of whatever container it is. MPEG audio has no mark worth the name, so its type
/// has to be known.
pub(super) fn read(window: &Window, is_mpeg_audio: bool) -> Metadata {
    if iso_media::is_one(window) {
        return iso_media::read(window);
    }
    let Some((start, mark)) = after_tags(window) else {
        return Metadata::default();
    };
    let found = match &mark {
        b"\x1a\x45\xdf\xa3" => matroska(window.stream(start)),
        b"OggS" => ogg(window.source(start)),
        b"RIFF" => wave(window.source(start)),
        b"fLaC" => flac(window, start),
        _ if is_mpeg_audio => mpeg_audio(window.stream(start)),
        _ => None,
    };
    found.unwrap_or_default()
}

/// Where the sound begins behind its ID3 tags, which tell their length in four times seven bits
/// (ID3v2.4 §3.1), and the first bytes there.
fn after_tags(window: &Window) -> Option<(u64, [u8; 4])> {
    let mut at = 0;
    for _ in 0..MAX_TAGS {
        let mark: [u8; 4] = window.array(at)?;
        if !mark.starts_with(b"ID3") {
            return Some((at, mark));
        }
        let [_, flags, size @ ..]: [u8; 6] = window.array(at + 4)?;
        let size = size
            .iter()
            .fold(0, |size, byte| size << 7 | u64::from(byte & 0x7f));
        let footer = if flags & 0x10 == 0 { 0 } else { 10 };
        at += 10 + size + footer;
    }
    None
}

/// Forwards only: all that counts stands before the frames, and what the crate would look up behind
/// them is of no use here.
fn matroska(file: Reader<'_>) -> Option<Metadata> {
    let reader = MkvReader::try_new(buffered(file), FormatOptions::default()).ok()?;
    let dimensions = reader.tracks().iter().find_map(|track| {
        let Some(CodecParameters::Video(video)) = &track.codec_params else {
            return None;
        };
        Dimensions::new(video.width?.into(), video.height?.into())
    });
    Some(Metadata {
        dimensions,
        ..duration(&reader)
    })
}

fn ogg(file: Reader<'_>) -> Option<Metadata> {
    let reader = OggReader::try_new(buffered(file), FormatOptions::default()).ok()?;
    let durations = reader.tracks().iter().filter_map(|track| {
        let ticks = track.duration?.get().checked_sub(skipped(track))?;
        in_seconds(track.time_base?, ticks)
    });
    Some(Metadata {
        duration: durations.max(),
        ..Metadata::default()
    })
}

/// The samples that Opus decodes only to drop them (RFC 7845 §4.2). The crate counts them in.
fn skipped(track: &Track) -> u64 {
    match &track.codec_params {
        Some(CodecParameters::Audio(audio)) if audio.codec == CODEC_ID_OPUS => {
            track.delay.unwrap_or_default().into()
        }
        _ => 0,
    }
}

fn wave(file: Reader<'_>) -> Option<Metadata> {
    let reader = WavReader::try_new(buffered(file), FormatOptions::default()).ok()?;
    Some(duration(&reader))
}

/// Forwards only: else the crate makes an estimate of a duration that no header says.
fn mpeg_audio(file: Reader<'_>) -> Option<Metadata> {
    let reader = MpaReader::try_new(buffered(file), FormatOptions::default()).ok()?;
    Some(duration(&reader))
}

/// STREAMINFO comes first, whatever tags and pictures come behind it: a rate in 20 bits, eight bits
/// of something else, and the number of samples in 36 (RFC 9639 §8.2).
fn flac(window: &Window, start: u64) -> Option<Metadata> {
    // The highest bit only says whether another block comes.
    let [header] = window.array(start + 4)?;
    let is_first = matches!(header, 0 | 0x80);
    let packed = window.be64(start + 18).filter(|_| is_first)?;
    Some(Metadata {
        duration: seconds(packed & 0xf_ffff_ffff, packed >> 44),
        ..Metadata::default()
    })
}

fn buffered(file: Reader<'_>) -> MediaSourceStream<'_> {
    MediaSourceStream::new(Box::new(file), MediaSourceStreamOptions::default())
}

/// What a reader says of the whole.
fn duration(reader: &dyn FormatReader) -> Metadata {
    let told = reader.media_info();
    Metadata {
        duration: told
            .time_base
            .zip(told.duration)
            .and_then(|(base, ticks)| in_seconds(base, ticks.get())),
        ..Metadata::default()
    }
}

fn in_seconds(base: TimeBase, ticks: u64) -> Option<std::time::Duration> {
    let time = base.calc_duration(Ticks::new(ticks))?;
    seconds(u64::try_from(time.as_nanos()).ok()?, 1_000_000_000)
}
