//! Minimal files of each format.

#![allow(clippy::cast_possible_truncation, reason = "the files are small")]

/// A ZIP file with uncompressed entries.
pub(super) fn zip(entries: &[(&str, &[u8])]) -> Vec<u8> {
    entries
        .iter()
        .flat_map(|(name, content)| {
            let (size, length) = (content.len() as u32, name.len() as u16);
            let mut header = b"PK\x03\x04\x14\0\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
            header.extend_from_slice(&size.to_le_bytes());
            header.extend_from_slice(&size.to_le_bytes());
            header.extend_from_slice(&length.to_le_bytes());
            header.extend_from_slice(&[0, 0]);
            [&header, name.as_bytes(), content].concat()
        })
        .collect()
}

/// A ZIP file whose entries are followed by data descriptors, as in streamed output.
pub(super) fn streamed_zip(names: &[&str]) -> Vec<u8> {
    names
        .iter()
        .flat_map(|name| {
            let length = (name.len() as u16).to_le_bytes();
            let header = b"PK\x03\x04\x14\0\x08\0\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
            let trailer = b"\x03\0PK\x07\x08\0\0\0\0\0\0\0\0\0\0\0\0";
            [&header[..], &length, &[0, 0], name.as_bytes(), trailer].concat()
        })
        .collect()
}

pub(super) fn ogg(streams: &[&[u8]]) -> Vec<u8> {
    let page = |flags: u8, content: &[u8]| {
        let mut page = b"OggS\0".to_vec();
        page.push(flags);
        page.extend_from_slice(&[0; 20]);
        page.extend_from_slice(&[1, content.len() as u8]);
        [page.as_slice(), content].concat()
    };
    let first: Vec<u8> = streams.iter().flat_map(|stream| page(2, stream)).collect();
    [first, page(0, b"rest")].concat()
}

pub(super) fn mp4(brands: &[&str], tracks: &[&str]) -> Vec<u8> {
    let boxed = |kind: &str, content: &[u8]| {
        let size = (content.len() as u32 + 8).to_be_bytes();
        [&size, kind.as_bytes(), content].concat()
    };
    let track = |handler: &&str| {
        let handler = boxed("hdlr", &[&[0; 8], handler.as_bytes(), &[0; 13]].concat());
        boxed("trak", &boxed("mdia", &handler))
    };
    let tracks: Vec<u8> = tracks.iter().flat_map(track).collect();
    let minor = [brands[0], "\0\0\0\0"].concat();
    let brands = boxed("ftyp", (minor + &brands[1..].concat()).as_bytes());
    let movie = if tracks.is_empty() {
        Vec::new()
    } else {
        boxed("moov", &tracks)
    };
    [brands, movie, boxed("mdat", &[0; 64])].concat()
}

pub(super) fn id3_tagged(content: &[u8]) -> Vec<u8> {
    [b"ID3\x04\0\0\0\0\0\x0aTIT2\0\0\0\0\0\0", content].concat()
}

/// Frames of MPEG-1 layer III, 128 kbit/s, 44.1 kHz.
pub(super) fn mp3() -> Vec<u8> {
    let frame = [&b"\xff\xfb\x90\x64"[..], &[0; 413]].concat();
    frame.repeat(4)
}

/// Frames of AAC with 100 bytes each.
pub(super) fn aac() -> Vec<u8> {
    let frame = [&b"\xff\xf1\x50\x80\x0c\x9f\xfc"[..], &[0; 93]].concat();
    frame.repeat(4)
}

pub(super) fn tiff(tags: &[u16]) -> Vec<u8> {
    let entries: Vec<u8> = tags
        .iter()
        .flat_map(|tag| [&tag.to_le_bytes()[..], &[0; 10]].concat())
        .collect();
    let count = (tags.len() as u16).to_le_bytes();
    [b"II*\0\x08\0\0\0", &count[..], &entries, &[0; 4]].concat()
}
