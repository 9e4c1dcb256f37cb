//! The path of a media on the command line: `RESOURCE` or `RESOURCE/KEY`.

use media_domain::media::MediaPath;

/// Parses a path. The key begins after the first slash.
pub(crate) fn parse_media_path(text: &str) -> Result<MediaPath, String> {
    let (resource, key) = match text.split_once('/') {
        Some((resource, key)) => (resource, Some(key)),
        None => (text, None),
    };
    MediaPath::new(resource, key).map_err(|error| {
        format!("{error}; a media is named RESOURCE or RESOURCE/KEY, as media ls shows")
    })
}

/// The path as text.
pub(crate) fn shown(path: &MediaPath) -> String {
    match path.key() {
        Some(key) => format!("{}/{key}", path.resource()),
        None => path.resource().to_owned(),
    }
}
