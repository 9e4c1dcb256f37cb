//! Reads the headers of audio and video containers.

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
    duration_of, iso_media,
};

/// The maximum number of ID3 tags before the audio. Files should have one.
const MAX_TAGS: usize = 4;

/// Detects the container and reads its header. MPEG audio has no reliable signature, so the caller has to know the
/// type.
pub(super) fn read(window: &Window, is_mpeg_audio: bool) -> Metadata {
    if iso_media::is_iso_media(window) {
        return iso_media::read(window);
    }
    let Some((start, signature)) = after_tags(window) else {
        return Metadata::default();
    };
    let found = match &signature {
        b"\x1a\x45\xdf\xa3" => matroska(window.stream(start)),
        b"OggS" => ogg(window.source(start)),
        b"RIFF" => wave(window.source(start)),
        b"fLaC" => flac(window, start),
        _ if is_mpeg_audio => mpeg_audio(window.stream(start)),
        _ => None,
    };
    found.unwrap_or_default()
}

/// The offset after the ID3 tags, whose length is stored in four times seven bits (ID3v2.4 §3.1), and the first bytes
/// there.
fn after_tags(window: &Window) -> Option<(u64, [u8; 4])> {
    let mut at = 0;
    for _ in 0..MAX_TAGS {
        let signature: [u8; 4] = window.array(at)?;
        if !signature.starts_with(b"ID3") {
            return Some((at, signature));
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

/// Reads Matroska as a stream: the relevant elements precede the frames. With a seekable source the crate would also
/// read elements after them.
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
        ticks_to_duration(track.time_base?, ticks)
    });
    Some(Metadata {
        duration: durations.max(),
        ..Metadata::default()
    })
}

/// The number of samples at the beginning that an Opus decoder discards (RFC 7845 §4.2), which the crate includes in
/// the duration.
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

/// Reads MPEG audio as a stream: with a seekable source the crate would estimate a duration that no header states.
fn mpeg_audio(file: Reader<'_>) -> Option<Metadata> {
    let reader = MpaReader::try_new(buffered(file), FormatOptions::default()).ok()?;
    Some(duration(&reader))
}

/// Reads the STREAMINFO block, which is always the first: the sample rate in 20 bits, eight bits of other fields, and
/// the number of samples in 36 bits (RFC 9639 §8.2).
fn flac(window: &Window, start: u64) -> Option<Metadata> {
    // The highest bit marks the last block.
    let [header] = window.array(start + 4)?;
    let is_first = matches!(header, 0 | 0x80);
    let packed = window.be64(start + 18).filter(|_| is_first)?;
    Some(Metadata {
        duration: duration_of(packed & 0xf_ffff_ffff, packed >> 44),
        ..Metadata::default()
    })
}

fn buffered(file: Reader<'_>) -> MediaSourceStream<'_> {
    MediaSourceStream::new(Box::new(file), MediaSourceStreamOptions::default())
}

/// The duration of the whole file.
fn duration(reader: &dyn FormatReader) -> Metadata {
    let info = reader.media_info();
    Metadata {
        duration: info
            .time_base
            .zip(info.duration)
            .and_then(|(base, ticks)| ticks_to_duration(base, ticks.get())),
        ..Metadata::default()
    }
}

fn ticks_to_duration(base: TimeBase, ticks: u64) -> Option<std::time::Duration> {
    let time = base.calc_duration(Ticks::new(ticks))?;
    duration_of(u64::try_from(time.as_nanos()).ok()?, 1_000_000_000)
}
