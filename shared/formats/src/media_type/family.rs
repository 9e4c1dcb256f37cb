//! Families of types: the more specific types that are compatible with a detected format.

use std::borrow::Cow;

use super::text::is_textual;

/// A type detected in the bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The most specific type that the bytes prove.
    pub(super) mime: Cow<'static, str>,
    /// The family of types that refine it.
    pub(super) family: Family,
}

/// A format that several types share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// The detected type is final: no other type refines it.
    Exact,
    /// ZIP whose entries do not identify a format.
    Zip,
    /// ZIP with a Java manifest, which other packages also have.
    Jar,
    /// Office Open XML of one program: templates and files with macros have the same entries.
    OpenXml(&'static str),
    /// Microsoft compound files (OLE).
    Ole,
    Gzip,
    /// Ogg whose streams are unknown.
    Ogg,
    /// Ogg with audio only.
    OggAudio,
    /// MP4 whose tracks are not in the head.
    Mp4,
    /// MP4 with video.
    Mp4Video,
    /// 3GPP with audio or video.
    ThreeGp,
    /// Matroska and WebM with audio or video.
    Matroska,
    /// ASF (Windows Media) with audio or video.
    Asf,
    /// An ID3 tag whose audio is not in the head.
    Id3,
    /// TIFF, on which the raw formats of cameras are based.
    Tiff,
    /// XML whose root element does not identify a format.
    Xml,
    /// XHTML, which is often served as HTML.
    Xhtml,
}

impl Found {
    /// A detected type that no other type refines.
    pub(super) fn exact(mime: impl Into<Cow<'static, str>>) -> Self {
        Self::new(mime, Family::Exact)
    }

    pub(super) fn new(mime: impl Into<Cow<'static, str>>, family: Family) -> Self {
        let mime = mime.into();
        Self { mime, family }
    }
}

impl Family {
    /// Whether a type belongs to the family, and so refines the detected type.
    pub(super) fn includes(self, mime: &str) -> bool {
        match self {
            Self::Exact => false,
            Self::Zip => is_zip_based(mime),
            Self::Jar => is_package(mime),
            Self::OpenXml(program) => is_open_xml_of(program, mime),
            Self::Ole => is_ole_based(mime),
            Self::Gzip => is_gzip_based(mime),
            Self::Ogg => matches!(mime, "audio/ogg" | "video/ogg") || is_ogg_audio(mime),
            Self::OggAudio => is_ogg_audio(mime),
            Self::Mp4 => matches!(mime, "audio/mp4" | "video/x-m4v" | "application/mp4"),
            Self::Mp4Video => matches!(mime, "video/x-m4v"),
            Self::ThreeGp => matches!(
                mime,
                "audio/3gpp" | "audio/3gpp2" | "video/3gpp" | "video/3gpp2"
            ),
            Self::Matroska => matches!(
                mime,
                "audio/webm" | "audio/x-matroska" | "audio/matroska" | "video/matroska"
            ),
            Self::Asf => matches!(
                mime,
                "audio/x-ms-wma" | "video/x-ms-wmv" | "video/x-ms-asf" | "application/vnd.ms-asf"
            ),
            Self::Id3 => matches!(
                mime,
                "audio/aac" | "audio/flac" | "audio/x-ape" | "audio/x-wavpack" | "audio/x-tta"
            ),
            Self::Tiff => is_tiff_based(mime),
            Self::Xml => is_xml_based(mime),
            Self::Xhtml => mime == "text/html",
        }
    }
}

/// Whether files of a type are ZIP files. Unknown types count as ZIP-based unless they have a signature of their own.
fn is_zip_based(mime: &str) -> bool {
    const OTHER_TYPES: [&str; 17] = [
        "application/java-archive",
        "application/vnd.android.package-archive",
        "application/vnd.google-earth.kmz",
        "application/vnd.apple.keynote",
        "application/vnd.apple.numbers",
        "application/vnd.apple.pages",
        "application/vnd.ms-xpsdocument",
        "application/oxps",
        "application/vnd.recordare.musicxml",
        "application/vnd.ms-package.3dmanufacturing-3dmodel+xml",
        "application/x-cbz",
        "application/x-ios-app",
        "application/x-krita",
        "application/x-xpinstall",
        "image/openraster",
        "model/3mf",
        "application/vnd.oasis.opendocument.text",
    ];
    mime.ends_with("+zip")
        || mime.starts_with("application/vnd.oasis.opendocument.")
        || mime.starts_with("application/vnd.sun.xml.")
        || is_open_xml(mime)
        || OTHER_TYPES.contains(&mime)
        || is_without_signature(mime)
}

/// Whether a type is a package format with a Java manifest.
fn is_package(mime: &str) -> bool {
    matches!(
        mime,
        "application/vnd.android.package-archive"
            | "application/x-xpinstall"
            | "application/x-java-archive-diff"
            | "application/vnd.etsi.asic-e+zip"
    ) || mime.starts_with("application/vnd.adobe.") && mime.ends_with("+zip")
}

fn is_open_xml(mime: &str) -> bool {
    ["word", "excel", "powerpoint"]
        .iter()
        .any(|program| is_open_xml_of(program, mime))
}

fn is_open_xml_of(program: &str, mime: &str) -> bool {
    let markup = match program {
        "word" => "wordprocessingml",
        "excel" => "spreadsheetml",
        _ => "presentationml",
    };
    let kind = mime.strip_prefix("application/vnd.openxmlformats-officedocument.");
    let macros = mime.strip_prefix("application/vnd.ms-");
    kind.is_some_and(|kind| kind.starts_with(markup))
        || macros.is_some_and(|rest| rest.starts_with(program) && rest.contains(".12"))
}

fn is_ole_based(mime: &str) -> bool {
    mime.starts_with("application/")
        && !is_open_xml(mime)
        && (mime.starts_with("application/vnd.ms-")
            || matches!(
                mime,
                "application/msword"
                    | "application/x-msi"
                    | "application/x-hwp"
                    | "application/vnd.visio"
            )
            || is_without_signature(mime))
}

fn is_gzip_based(mime: &str) -> bool {
    matches!(
        mime,
        "application/x-tgz"
            | "application/x-compressed-tar"
            | "application/x-gtar-compressed"
            | "image/svg+xml-compressed"
            | "image/x-emz"
            | "image/x-wmz"
    )
}

fn is_ogg_audio(mime: &str) -> bool {
    matches!(mime, "audio/opus" | "audio/vorbis" | "audio/speex")
        || mime.starts_with("audio/x-") && mime.ends_with("+ogg")
}

fn is_tiff_based(mime: &str) -> bool {
    matches!(mime, "image/dng" | "image/geotiff" | "image/tiff-fx")
        || mime.starts_with("image/x-") && is_without_signature(mime)
}

fn is_xml_based(mime: &str) -> bool {
    // Image formats in XML are detected by their root element, which was not found.
    !mime.starts_with("image/")
        && (mime == "application/xml"
            || mime.ends_with("+xml")
            || mime == "application/vnd.recordare.musicxml"
            || mime == "text/x-opml")
}

/// Whether no signature is known for a type, so that a missing signature does not contradict it.
fn is_without_signature(mime: &str) -> bool {
    let top = mime.split('/').next().unwrap_or_default();
    matches!(top, "application" | "model" | "image")
        && !matches!(
            mime,
            "application/ogg" | "application/mp4" | "application/x-gzip" | "application/x-zip"
        )
        && !is_textual(mime)
        && !infer::is_mime_supported(mime)
        && (top != "image" || mime.starts_with("image/x-"))
}
