//! The canonical names of types, their aliases and their file extensions.

/// Aliases, each with the name that is registered or most common.
const ALIASES: [(&str, &str); 44] = [
    ("application/font-sfnt", "font/sfnt"),
    ("application/font-woff", "font/woff"),
    ("application/font-woff2", "font/woff2"),
    ("application/vnd.ms-opentype", "font/otf"),
    ("application/x-font-opentype", "font/otf"),
    ("application/x-font-otf", "font/otf"),
    ("application/x-font-ttf", "font/ttf"),
    ("application/x-font-truetype", "font/ttf"),
    ("application/x-font-woff", "font/woff"),
    ("application/x-gzip", "application/gzip"),
    ("application/x-pdf", "application/pdf"),
    ("application/x-rar", "application/vnd.rar"),
    ("application/x-rar-compressed", "application/vnd.rar"),
    ("application/x-zip", "application/zip"),
    ("application/x-zip-compressed", "application/zip"),
    ("application/x-java-archive", "application/java-archive"),
    ("application/x-ogg", "application/ogg"),
    ("application/x-epub+zip", "application/epub+zip"),
    ("audio/aacp", "audio/aac"),
    ("audio/m4a", "audio/mp4"),
    ("audio/m4b", "audio/mp4"),
    ("audio/mp3", "audio/mpeg"),
    ("audio/mpeg3", "audio/mpeg"),
    ("audio/vnd.wave", "audio/x-wav"),
    ("audio/wav", "audio/x-wav"),
    ("audio/wave", "audio/x-wav"),
    ("audio/x-aac", "audio/aac"),
    ("audio/x-flac", "audio/flac"),
    ("audio/x-m4a", "audio/mp4"),
    ("audio/x-m4b", "audio/mp4"),
    ("audio/x-mp3", "audio/mpeg"),
    ("audio/x-mpeg", "audio/mpeg"),
    ("audio/x-ogg", "audio/ogg"),
    ("image/heif-sequence", "image/heif-sequence"),
    ("image/jpg", "image/jpeg"),
    ("image/pjpeg", "image/jpeg"),
    ("image/svg", "image/svg+xml"),
    ("image/svg-xml", "image/svg+xml"),
    ("image/tif", "image/tiff"),
    ("image/x-bmp", "image/bmp"),
    ("image/x-dng", "image/x-adobe-dng"),
    ("image/x-icon", "image/vnd.microsoft.icon"),
    ("image/x-ms-bmp", "image/bmp"),
    ("image/x-png", "image/png"),
];

/// Extensions that the library's list does not have, or lists under another type.
const EXTENSIONS: [(&str, &str); 24] = [
    ("aac", "audio/aac"),
    ("apk", "application/vnd.android.package-archive"),
    ("avif", "image/avif"),
    ("cbz", "application/vnd.comicbook+zip"),
    ("dng", "image/x-adobe-dng"),
    ("flac", "audio/flac"),
    ("gpx", "application/gpx+xml"),
    ("heic", "image/heic"),
    ("heif", "image/heif"),
    ("kml", "application/vnd.google-earth.kml+xml"),
    ("kmz", "application/vnd.google-earth.kmz"),
    ("m4a", "audio/mp4"),
    ("m4b", "audio/mp4"),
    ("nef", "image/x-nikon-nef"),
    ("arw", "image/x-sony-arw"),
    ("oga", "audio/ogg"),
    ("ogg", "audio/ogg"),
    ("ogv", "video/ogg"),
    ("opus", "audio/ogg"),
    ("otf", "font/otf"),
    ("ttc", "font/collection"),
    ("ttf", "font/ttf"),
    ("usdz", "model/vnd.usdz+zip"),
    ("woff2", "font/woff2"),
];

/// The usual extensions of types that have several. The library's list is in alphabetical order.
const USUAL_EXTENSIONS: [(&str, &str); 29] = [
    ("application/gzip", "gz"),
    ("application/java-archive", "jar"),
    ("application/json", "json"),
    ("application/msword", "doc"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.ms-powerpoint", "ppt"),
    ("application/vnd.rar", "rar"),
    ("application/xml", "xml"),
    ("application/zip", "zip"),
    ("audio/aac", "aac"),
    ("audio/flac", "flac"),
    ("audio/mp4", "m4a"),
    ("audio/mpeg", "mp3"),
    ("audio/ogg", "ogg"),
    ("audio/x-aiff", "aiff"),
    ("audio/x-wav", "wav"),
    ("font/collection", "ttc"),
    ("image/heic", "heic"),
    ("image/heif", "heif"),
    ("image/jpeg", "jpg"),
    ("image/tiff", "tif"),
    ("text/csv", "csv"),
    ("text/html", "html"),
    ("text/markdown", "md"),
    ("text/plain", "txt"),
    ("text/xml", "xml"),
    ("video/mp4", "mp4"),
    ("video/quicktime", "mov"),
    ("video/x-matroska", "mkv"),
];

/// The canonical name of a type, which must be in lower case.
pub(super) fn canonical(mime: &str) -> &str {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == mime);
    alias.map_or(mime, |(_, name)| name)
}

/// The type of a file extension, unless it is unknown or generic.
pub(super) fn by_extension(extension: &str) -> Option<String> {
    let extension = extension.to_ascii_lowercase();
    if let Some((_, mime)) = EXTENSIONS.iter().find(|(known, _)| *known == extension) {
        return Some((*mime).to_owned());
    }
    let guessed = mime_guess::from_ext(&extension).first()?;
    let mime = canonical(guessed.essence_str());
    (mime != super::UNKNOWN).then(|| mime.to_owned())
}

/// The usual extension of a type.
pub(super) fn extension_of(mime: &str) -> Option<&'static str> {
    let by_type = |list: &'static [(&str, &str)]| list.iter().find(|(usual, _)| *usual == mime);
    if let Some((_, extension)) = by_type(&USUAL_EXTENSIONS) {
        return Some(extension);
    }
    if let Some((extension, _)) = EXTENSIONS.iter().find(|(_, known)| *known == mime) {
        return Some(extension);
    }
    match mime_guess::get_mime_extensions_str(mime)? {
        [only] => Some(only),
        several => {
            // Among several extensions, only these are known to be the usual one.
            let usual = |extension: &&&str| matches!(**extension, "png" | "gif" | "webp" | "pdf");
            several.iter().find(usual).copied()
        }
    }
}
