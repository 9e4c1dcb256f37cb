//! Detection of ZIP-based formats by the names of their first entries.

use super::family::{Family, Found};

const LOCAL_HEADER: &[u8] = b"PK\x03\x04";
/// The maximum number of entries that are read.
const MAX_ENTRIES: usize = 256;
/// The maximum length of the type in an entry `mimetype`.
const MAX_TYPE_BYTES: usize = 127;

const DOCX: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const XLSX: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const PPTX: &str = "application/vnd.openxmlformats-officedocument.presentationml.presentation";

/// An entry of a ZIP file, as far as it is in the head.
struct Entry<'h> {
    name: &'h str,
    /// The content. Empty if the entry is compressed.
    stored: &'h [u8],
}

/// Detects the type of a ZIP file by its entries.
pub(super) fn sniff(head: &[u8]) -> Option<Found> {
    if head.starts_with(b"PK\x05\x06") {
        return Some(Found::new("application/zip", Family::Zip));
    }
    if !head.starts_with(LOCAL_HEADER) {
        return None;
    }
    let entries = entries(head);
    Some(
        mimetype_entry(&entries)
            .or_else(|| by_names(&entries))
            .unwrap_or_else(|| Found::new("application/zip", Family::Zip)),
    )
}

/// The type in the first entry, `mimetype`, as in OpenDocument and EPUB.
fn mimetype_entry(entries: &[Entry<'_>]) -> Option<Found> {
    let first = entries.first().filter(|entry| entry.name == "mimetype")?;
    let text = std::str::from_utf8(first.stored).ok()?.trim();
    let mime = text.to_ascii_lowercase();
    let is_type = mime.len() <= MAX_TYPE_BYTES
        && (mime.starts_with("application/") || mime == "image/openraster")
        && mime
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "/.+-_".contains(c));
    is_type.then(|| Found::exact(mime))
}

fn by_names(entries: &[Entry<'_>]) -> Option<Found> {
    let has = |name: &str| entries.iter().any(|entry| entry.name == name);
    let has_in = |folder: &str| entries.iter().any(|entry| entry.name.starts_with(folder));
    let first = entries.first().map(|entry| entry.name).unwrap_or_default();
    let first_is = |extensions: &[&str]| {
        let extension = first.rsplit_once('.').map(|(_, extension)| extension);
        extension.is_some_and(|extension| {
            extensions
                .iter()
                .any(|known| known.eq_ignore_ascii_case(extension))
        })
    };
    let is_open_xml = has("[Content_Types].xml") || has("_rels/.rels") || has_in("docProps/");
    if is_open_xml && has_in("word/") {
        Some(Found::new(DOCX, Family::OpenXml("word")))
    } else if is_open_xml && has_in("xl/") {
        Some(Found::new(XLSX, Family::OpenXml("excel")))
    } else if is_open_xml && has_in("ppt/") {
        Some(Found::new(PPTX, Family::OpenXml("powerpoint")))
    } else if is_open_xml && has_in("3D/") {
        Some(Found::exact("model/3mf"))
    } else if has("AndroidManifest.xml") {
        Some(Found::exact("application/vnd.android.package-archive"))
    } else if has("META-INF/container.xml") {
        Some(Found::exact("application/epub+zip"))
    } else if has("META-INF/MANIFEST.MF") {
        Some(Found::new("application/java-archive", Family::Jar))
    } else if first_is(&["usdc", "usda", "usd"]) {
        Some(Found::exact("model/vnd.usdz+zip"))
    } else if has("doc.kml") || first_is(&["kml"]) {
        Some(Found::exact("application/vnd.google-earth.kmz"))
    } else {
        None
    }
}

/// The entries whose headers are in the head (APPNOTE 4.3.7). An entry whose length is in a data descriptor after it is
/// skipped by searching for the next header.
fn entries(head: &[u8]) -> Vec<Entry<'_>> {
    let mut entries = Vec::new();
    let mut at = 0;
    while entries.len() < MAX_ENTRIES
        && let Some(header) = head.get(at..at + 30)
        && header.starts_with(LOCAL_HEADER)
    {
        let le16 = |offset| usize::from(u16::from_le_bytes([header[offset], header[offset + 1]]));
        let size = u32::from_le_bytes([header[18], header[19], header[20], header[21]]) as usize;
        let (flags, method) = (le16(6), le16(8));
        let name_end = at + 30 + le16(26);
        let begin = name_end + le16(28);
        let name = head.get(at + 30..name_end).unwrap_or_default();
        let stored = match method {
            0 => head
                .get(begin..begin.saturating_add(size))
                .unwrap_or_default(),
            _ => &[],
        };
        entries.push(Entry {
            name: std::str::from_utf8(name).unwrap_or_default(),
            stored,
        });
        let has_descriptor = flags & 8 != 0 && size == 0;
        let next = if has_descriptor {
            head.get(begin..)
                .and_then(|rest| memchr::memmem::find(rest, LOCAL_HEADER))
                .map(|found| begin + found)
        } else {
            begin.checked_add(size)
        };
        match next {
            Some(next) => at = next,
            None => break,
        }
    }
    entries
}
