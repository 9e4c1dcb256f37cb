//! The expected type of bytes, with and without a declared type and a file name.

use super::{super::UNKNOWN, samples::*};

/// A file name, the bytes, the declared type and the expected type.
pub(super) type Row = (&'static str, Vec<u8>, Option<&'static str>, &'static str);

const WORD: &str = "application/vnd.openxmlformats-officedocument.wordprocessingml.document";
const EXCEL: &str = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet";
const SLIDES: &str = "application/vnd.openxmlformats-officedocument.presentationml.presentation";
const ODT: &str = "application/vnd.oasis.opendocument.text";
const APK: &str = "application/vnd.android.package-archive";
const KMZ: &str = "application/vnd.google-earth.kmz";
const USDZ: &str = "model/vnd.usdz+zip";
const CBZ: &str = "application/vnd.comicbook+zip";
const ZIP: Option<&str> = Some("application/zip");

#[rustfmt::skip]
pub(super) fn archives() -> Vec<Row> {
    let office = |entry| zip(&[("[Content_Types].xml", b"<x/>"), ("_rels/.rels", b""), (entry, b"")]);
    let plain = || zip(&[("notes.txt", b"text")]);
    let typed = |mime: &'static str| zip(&[("mimetype", mime.as_bytes()), ("content.xml", b"")]);
    vec![
        ("a.docx", office("word/document.xml"), Some(WORD), WORD),
        ("a.docx", office("word/document.xml"), ZIP, WORD),
        ("", office("word/document.xml"), None, WORD),
        ("a.docx", office("word/document.xml"), Some(EXCEL), WORD),
        ("", zip(&[("docProps/app.xml", b""), ("xl/workbook.xml", b"")]), None, EXCEL),
        ("", streamed_zip(&["[Content_Types].xml", "ppt/presentation.xml"]), None, SLIDES),
        ("a.dotx", office("word/document.xml"), None, "application/vnd.openxmlformats-officedocument.wordprocessingml.template"),
        ("a.docm", office("word/document.xml"), Some("application/vnd.ms-word.document.macroEnabled.12"), "application/vnd.ms-word.document.macroenabled.12"),
        ("a.docx", plain(), None, WORD),
        ("a.zip", zip(&[("word/notes.txt", b"")]), None, "application/zip"),
        ("a.odt", typed(ODT), None, ODT),
        ("", typed("application/epub+zip"), ZIP, "application/epub+zip"),
        ("a.odt", typed(ODT), Some(WORD), ODT),
        ("", zip(&[("META-INF/container.xml", b"")]), None, "application/epub+zip"),
        ("a.usdz", zip(&[("chair.usdc", b"PXR-USDC")]), None, USDZ),
        ("a.usdz", plain(), Some(USDZ), USDZ),
        ("a.kmz", zip(&[("doc.kml", b"")]), ZIP, KMZ),
        ("a.kmz", zip(&[("files/a.png", b"")]), Some(KMZ), KMZ),
        ("a.jar", zip(&[("META-INF/MANIFEST.MF", b"")]), None, "application/java-archive"),
        ("a.apk", zip(&[("META-INF/MANIFEST.MF", b"")]), Some(APK), APK),
        ("a", zip(&[("AndroidManifest.xml", b""), ("classes.dex", b"")]), ZIP, APK),
        ("a.cbz", zip(&[("1.jpg", b"")]), None, CBZ),
        ("a.cbz", zip(&[("1.jpg", b"")]), ZIP, CBZ),
        ("a.zip", plain(), Some("application/pdf"), "application/zip"),
        ("a.zip", plain(), Some("image/png"), "application/zip"),
        ("a.zip", plain(), Some("text/html"), "application/zip"),
        ("a.zip", plain(), Some("application/x-zip-compressed"), "application/zip"),
        ("", b"PK\x05\x06".iter().chain(&[0; 18]).copied().collect(), None, "application/zip"),
        ("a.gz", b"\x1f\x8b\x08\0\0\0\0\0".to_vec(), Some("application/x-gzip"), "application/gzip"),
        ("a.tgz", b"\x1f\x8b\x08\0\0\0\0\0".to_vec(), Some("application/x-tgz"), "application/x-tgz"),
    ]
}

#[rustfmt::skip]
pub(super) fn audio_and_video() -> Vec<Row> {
    let theora = b"\x80theora\x03\x02\x01";
    let vorbis = b"\x01vorbis\0\0";
    vec![
        ("", ogg(&[theora]), None, "video/ogg"),
        ("a.ogg", ogg(&[vorbis, theora]), Some("audio/ogg"), "video/ogg"),
        ("", ogg(&[b"fishead\0\x03\0", theora, vorbis]), None, "video/ogg"),
        ("", ogg(&[vorbis]), Some("application/ogg"), "audio/ogg"),
        ("", ogg(&[b"OpusHead\x01\x02"]), None, "audio/ogg"),
        ("", ogg(&[b"OpusHead\x01\x02"]), Some("audio/opus"), "audio/opus"),
        ("", ogg(&[vorbis]), Some("video/ogg"), "audio/ogg"),
        ("a.ogv", ogg(&[b"unknown"]), None, "video/ogg"),
        ("", ogg(&[b"unknown"]), None, "application/ogg"),
        ("a.m4a", mp4(&["M4A ", "isom"], &[]), Some("audio/m4a"), "audio/mp4"),
        ("a.m4a", mp4(&["M4A ", "isom"], &[]), Some("audio/x-m4a"), "audio/mp4"),
        ("a.m4b", mp4(&["M4B "], &[]), None, "audio/mp4"),
        ("a.m4a", mp4(&["isom", "mp42"], &[]), None, "audio/mp4"),
        ("", mp4(&["mp42"], &[]), Some("audio/mp4"), "audio/mp4"),
        ("", mp4(&["isom"], &["soun"]), None, "audio/mp4"),
        ("", mp4(&["isom"], &["soun"]), Some("video/mp4"), "audio/mp4"),
        ("", mp4(&["isom"], &["soun", "vide"]), Some("audio/mp4"), "video/mp4"),
        ("", mp4(&["isom"], &[]), None, "video/mp4"),
        ("", mp4(&["isom"], &[]), Some("image/png"), "video/mp4"),
        ("", mp4(&["qt  "], &[]), Some("video/mp4"), "video/quicktime"),
        ("", mp4(&["3gp5"], &[]), None, "video/3gpp"),
        ("", mp4(&["3gp5"], &[]), Some("audio/3gpp"), "audio/3gpp"),
        ("", mp4(&["heic", "mif1"], &[]), None, "image/heic"),
        ("", mp4(&["mif1", "mif1", "heic"], &[]), Some("image/heif"), "image/heic"),
        ("", mp4(&["mif1", "avif"], &[]), None, "image/avif"),
        ("", mp4(&["avif", "mif1"], &[]), Some("image/png"), "image/avif"),
        ("", mp4(&["mif1"], &[]), None, "image/heif"),
        ("a.mp3", mp3(), None, "audio/mpeg"),
        ("", mp3(), Some("audio/mp3"), "audio/mpeg"),
        ("", id3_tagged(&mp3()), None, "audio/mpeg"),
        ("", id3_tagged(&aac()), None, "audio/aac"),
        ("", aac(), Some("audio/aacp"), "audio/aac"),
        ("", id3_tagged(b"fLaC\0\0\0\x22"), None, "audio/flac"),
        ("", id3_tagged(b"\0\0\0fLaC\0\0\0\x22"), Some("audio/x-flac"), "audio/flac"),
        ("", id3_tagged(b""), Some("audio/flac"), "audio/flac"),
        ("a.aac", id3_tagged(b""), None, "audio/aac"),
        ("", id3_tagged(b""), None, "audio/mpeg"),
        ("", b"fLaC\0\0\0\x22".to_vec(), None, "audio/flac"),
        ("", b"RIFF\0\0\0\0WAVEfmt ".to_vec(), Some("audio/wav"), "audio/x-wav"),
    ]
}

#[rustfmt::skip]
pub(super) fn images_and_fonts() -> Vec<Row> {
    let png = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    vec![
        ("a.jpg", png.clone(), Some("text/plain"), "image/png"),
        ("", png, Some("image/jpeg"), "image/png"),
        ("", b"GIF89a\x01\0\x01\0\0\0\0".to_vec(), None, "image/gif"),
        ("", tiff(&[254, 256]), None, "image/tiff"),
        ("", tiff(&[254, 50_706]), Some("image/tiff"), "image/x-adobe-dng"),
        ("a.dng", tiff(&[254]), None, "image/x-adobe-dng"),
        ("a.nef", tiff(&[254]), None, "image/x-nikon-nef"),
        ("", tiff(&[254]), Some("image/x-sony-arw"), "image/x-sony-arw"),
        ("", tiff(&[254]), Some("image/png"), "image/tiff"),
        ("", b"wOF2\0\x01\0\0\0\0\0\0".to_vec(), Some("application/font-woff2"), "font/woff2"),
        ("", b"wOFF\0\x01\0\0\0\0\0\0".to_vec(), None, "font/woff"),
        ("", b"OTTO\0\x0b\0\x80\0\x03\0\x30".to_vec(), Some("application/vnd.ms-opentype"), "font/otf"),
        ("", b"\0\x01\0\0\0\x0f\0\x80\0\x03\0\x70".to_vec(), Some("application/x-font-ttf"), "font/ttf"),
        ("", b"ttcf\0\x01\0\0\0\0\0\x02".to_vec(), None, "font/collection"),
        ("", b"BM\x46\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec(), Some("image/x-ms-bmp"), "image/bmp"),
    ]
}

#[rustfmt::skip]
pub(super) fn markup() -> Vec<Row> {
    let text = |text: &str| text.as_bytes().to_vec();
    let utf_16 = |text: &str| {
        let units = text.encode_utf16().flat_map(u16::to_le_bytes);
        [0xff, 0xfe].into_iter().chain(units).collect::<Vec<u8>>()
    };
    vec![
        ("", text("<svg xmlns='http://www.w3.org/2000/svg'/>"), None, "image/svg+xml"),
        ("", text("\u{feff}<?xml version='1.0'?>\n<!-- by hand -->\n<svg>"), None, "image/svg+xml"),
        ("", text("<!DOCTYPE svg PUBLIC \"-//W3C//DTD SVG 1.1//EN\">"), None, "image/svg+xml"),
        ("", text("<?xml version='1.0'?><!DOCTYPE svg [<!ENTITY a 'b>'>]><svg/>"), None, "image/svg+xml"),
        ("", text("<ns0:svg xmlns:ns0=\"http://www.w3.org/2000/svg\" width=\"9\"/>"), Some("text/xml"), "image/svg+xml"),
        ("", text("<?xml version='1.0'?><x:svg a='1'\nxmlns:x = 'http://www.w3.org/2000/svg'/>"), None, "image/svg+xml"),
        ("", text("<?xml version='1.0'?><x:svg xmlns:x='urn:other'/>"), None, "text/xml"),
        ("", utf_16("<?xml version='1.0' encoding='utf-16'?><svg/>"), None, "image/svg+xml"),
        ("", text("<?xml version='1.0'?><rss version='2.0'>"), Some("text/xml"), "application/rss+xml"),
        ("", text("<rss version='2.0'>"), None, "application/rss+xml"),
        ("", text("<?xml version='1.0'?><feed xmlns='http://www.w3.org/2005/Atom'>"), None, "application/atom+xml"),
        ("", text("<?xml version='1.0'?><feed xmlns='urn:other'>"), Some("application/x+xml"), "application/x+xml"),
        ("", text("<?xml version='1.0'?><gpx version='1.1'>"), Some("application/xml"), "application/gpx+xml"),
        ("a.kml", text("<?xml version='1.0'?><kml>"), None, "application/vnd.google-earth.kml+xml"),
        ("", text("<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>"), None, "application/xhtml+xml"),
        ("", text("<?xml version='1.0'?><html xmlns='http://www.w3.org/1999/xhtml'>"), Some("text/html"), "text/html"),
        ("", text("<html xmlns='http://www.w3.org/1999/xhtml'>"), None, "text/html"),
        ("a.rss", text("<?xml version='1.0'?><other/>"), None, "application/rss+xml"),
        ("", text("<?xml version='1.0'?><other/>"), Some("application/xml"), "application/xml"),
        ("", text("<?xml version='1.0'?><other/>"), None, "text/xml"),
        ("", text("<?xml version='1.0'?><other/>"), Some("image/svg+xml"), "text/xml"),
        ("", text("<?xml version='1.0'?><other/>"), Some("image/png"), "text/xml"),
        ("a.png", text("<!DOCTYPE html><title>Sign in</title>"), Some("image/png"), "text/html"),
        ("", text("<!-- no end"), None, "text/html"),
    ]
}

#[rustfmt::skip]
pub(super) fn texts() -> Vec<Row> {
    let text = |text: &str| text.as_bytes().to_vec();
    let plain = "text/plain";
    vec![
        ("", text("GIF is a format of pictures."), None, plain),
        ("a.gif", text("GIF89a is the later version."), Some("image/gif"), plain),
        ("", text("ID3 tags stand before the sound."), None, plain),
        ("", text("BM, or bitmaps"), Some(plain), plain),
        ("", text("BMI table"), None, plain),
        ("", text("MZ was a programmer"), None, plain),
        ("", text("OggS is how pages begin"), None, plain),
        ("", text("RIFF, WAVE and others: a list"), None, plain),
        ("", text("wOFF, OTTO and ttcf are signatures"), None, plain),
        ("", text("8BPS and FWS and BZh as well"), None, plain),
        ("a.md", text("OTTO is a name"), None, "text/markdown"),
        ("", b"GIF in Latin-1: caf\xe9".to_vec(), None, plain),
        ("", b"\xff\xfeG\0I\0F\0".to_vec(), None, plain),
        ("", text("{\"error\": \"sign in first\"}"), Some("image/png"), plain),
        ("a.jpg", text("not found"), None, plain),
        ("a.txt", text("x"), Some("video/mp4"), plain),
        ("", text("x"), Some("application/pdf"), plain),
        ("", text("#EXTM3U\n"), Some("audio/mpegurl"), "audio/mpegurl"),
        ("a.txt", text("a,b"), Some("Text/CSV; charset=utf-8"), "text/csv"),
        ("a.txt", text("a"), Some("application/octet-stream"), plain),
        ("a.txt", text("a"), Some("not a type"), plain),
        ("", text("%PDF-1.7"), None, "application/pdf"),
        ("", text("%!PS-Adobe-3.0"), None, "application/postscript"),
        ("", text("{\\rtf1\\ansi}"), None, "application/rtf"),
        ("", Vec::new(), Some("image/png"), "image/png"),
        ("", Vec::new(), None, UNKNOWN),
        ("", b"\0\x01\x02".to_vec(), Some("image/x-raw"), "image/x-raw"),
        ("", b"\0\x01\x02".to_vec(), Some(plain), UNKNOWN),
        ("", b"\0\x01\x02".to_vec(), None, UNKNOWN),
    ]
}
