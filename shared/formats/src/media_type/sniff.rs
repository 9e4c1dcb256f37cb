//! Detection of formats by their signatures.

use super::{
    audio,
    family::{Family, Found},
    iso_media,
    names::canonical,
    ogg, text, xml, zip,
};

/// The number of leading bytes that are searched for signatures at fixed offsets.
const SNIFFED_BYTES: usize = 8 * 1024;
/// The maximum offset of the signature of PDF (ISO 32000-1, Annex H).
const MAX_PDF_OFFSET: usize = 1024;
/// The length of a packet in an MPEG transport stream.
const TS_PACKET_BYTES: usize = 188;

/// Detects the type by the signature in the head. Returns None if there is no signature, and for text that happens to
/// begin like one (`GIF`, `ID3`, `BM`).
pub(super) fn sniff(head: &[u8]) -> Option<Found> {
    let begin = &head[..head.len().min(SNIFFED_BYTES)];
    if let Some(found) = xml::sniff(begin) {
        return Some(found);
    }
    let found = zip::sniff(head)
        .or_else(|| ogg::sniff(head))
        .or_else(|| iso_media::sniff(head))
        .or_else(|| fonts(head))
        .or_else(|| audio::sniff(head))
        .or_else(|| tiff(head))
        .or_else(|| disc_image(head))
        .or_else(|| others(begin))?;
    let is_refuted = || !text::may_be_text(&found.mime) && text::is_text(begin);
    (!is_refuted()).then_some(found)
}

fn fonts(head: &[u8]) -> Option<Found> {
    let mime = match head.first_chunk::<4>()? {
        b"wOFF" => "font/woff",
        b"wOF2" => "font/woff2",
        b"OTTO" => "font/otf",
        b"ttcf" => "font/collection",
        b"true" => "font/ttf",
        // The number of tables distinguishes TrueType from other formats that begin with these bytes.
        [0, 1, 0, 0] if matches!(head.get(4..6), Some([0, 1..=64])) => "font/ttf",
        _ => return None,
    };
    Some(Found::exact(mime))
}

/// Detects TIFF 6.0 and BigTIFF. The raw formats of cameras are based on it; DNG is identified by a tag.
fn tiff(head: &[u8]) -> Option<Found> {
    const DNG_VERSION: u16 = 50_706;
    let is_big_endian = match head.first_chunk::<4>()? {
        b"II*\0" | b"II+\0" => false,
        b"MM\0*" | b"MM\0+" => true,
        _ => return None,
    };
    if head.get(8..10) == Some(b"CR") {
        return Some(Found::exact("image/x-canon-cr2"));
    }
    if tags(head, is_big_endian).contains(&DNG_VERSION) {
        return Some(Found::exact("image/x-adobe-dng"));
    }
    Some(Found::new("image/tiff", Family::Tiff))
}

/// The tags of the first directory, as far as it is in the head. Empty for BigTIFF.
fn tags(head: &[u8], is_big_endian: bool) -> Vec<u16> {
    let u16_at = |at: usize| {
        let bytes = *head.get(at..)?.first_chunk()?;
        Some(if is_big_endian {
            u16::from_be_bytes(bytes)
        } else {
            u16::from_le_bytes(bytes)
        })
    };
    let u32_at = |at: usize| {
        let bytes = *head.get(at..)?.first_chunk()?;
        Some(if is_big_endian {
            u32::from_be_bytes(bytes)
        } else {
            u32::from_le_bytes(bytes)
        })
    };
    let directory = u32_at(4).and_then(|at| usize::try_from(at).ok());
    let Some(directory) = directory.filter(|at| *at >= 8) else {
        return Vec::new();
    };
    let count = u16_at(directory).map_or(0, usize::from);
    (0..count)
        .map_while(|entry| u16_at(directory + 2 + entry * 12))
        .collect()
}

/// Detects a disc image by its first volume descriptor, in sector 16 (ECMA-119 §6.2, §8.1).
fn disc_image(head: &[u8]) -> Option<Found> {
    const DESCRIPTOR_OFFSET: usize = 16 * 2048 + 1;
    let is_disc = head.get(DESCRIPTOR_OFFSET..DESCRIPTOR_OFFSET + 5) == Some(b"CD001");
    is_disc.then(|| Found::exact("application/x-iso9660-image"))
}

/// Detects the remaining formats, most of them by the library.
fn others(head: &[u8]) -> Option<Found> {
    if is_pdf(head) {
        return Some(Found::exact("application/pdf"));
    }
    if is_transport_stream(head) {
        return Some(Found::exact("video/mp2t"));
    }
    if head.starts_with(b"gimp xcf ") {
        return Some(Found::exact("image/x-xcf"));
    }
    let kind = infer::get(head)?;
    let family = match kind.mime_type() {
        "application/gzip" => Family::Gzip,
        "video/webm" | "video/x-matroska" => Family::Matroska,
        "video/x-ms-wmv" => Family::Asf,
        "application/x-ole-storage" => Family::Ole,
        _ => Family::Exact,
    };
    Some(Found::new(canonical(kind.mime_type()).to_owned(), family))
}

fn is_pdf(head: &[u8]) -> bool {
    let head = &head[..head.len().min(MAX_PDF_OFFSET)];
    let begin = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head);
    begin.trim_ascii_start().starts_with(b"%PDF-")
}

fn is_transport_stream(head: &[u8]) -> bool {
    let packets = head.iter().step_by(TS_PACKET_BYTES);
    head.len() > 3 * TS_PACKET_BYTES && packets.take(4).all(|byte| *byte == 0x47)
}
