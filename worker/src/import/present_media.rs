//! The media that is at the path of an import already: what `if_exists` says of it, and the origin's validators that are
//! stored with it.

use media_database::{entities::media, media_repository::NewMedia};
use media_domain::{
    ids::MediaId,
    job::{IfExists, ImportArguments, MediaRange},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::fetch::OriginValidators;

/// The result of an attempt.
pub(crate) enum Imported {
    /// Bytes that are stored and not yet recorded, and the treatment of a media that is at the path by then.
    New(Box<NewMedia>, IfExists),
    /// The media at the path stays.
    Unchanged(Unchanged),
}

/// The media at the path of an import that stores nothing.
#[derive(Clone)]
pub(crate) struct Unchanged {
    pub(crate) media: MediaId,
    /// The validators that the origin has now, if they are to be kept.
    pub(crate) origin: Option<serde_json::Value>,
    /// The redacted URL of the job.
    pub(crate) shown_url: String,
}

/// The origin of a media's bytes, as its column `origin` has it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredOrigin {
    /// The SHA-256 of the URL, which may have secrets: validators of another URL tell nothing.
    url: String,
    #[serde(flatten)]
    validators: OriginValidators,
}

/// Describes the origin of bytes that were imported from a URL; nothing if it has sent no validators.
pub(super) fn stored_origin(url: &Url, validators: &OriginValidators) -> Option<serde_json::Value> {
    if validators.is_empty() {
        return None;
    }
    let origin = StoredOrigin {
        url: fingerprint(url),
        validators: validators.clone(),
    };
    serde_json::to_value(origin).ok()
}

/// The validators to ask the origin with whether a media is still what an import would store; nothing if that needs its
/// bytes.
pub(super) fn validators_to_send(
    arguments: &ImportArguments,
    media: &media::Model,
) -> Option<OriginValidators> {
    let origin = serde_json::from_value::<StoredOrigin>(media.origin.clone()?).ok()?;
    let is_same_url = origin.url == fingerprint(&arguments.url);
    (is_same_url && fulfils(arguments, media)).then_some(origin.validators)
}

/// Whether a media is what the arguments ask for. MD5 is not stored with media.
fn fulfils(arguments: &ImportArguments, media: &media::Model) -> bool {
    let size = u64::try_from(media.size).unwrap_or_default();
    let accepts =
        |types: &Vec<MediaRange>| types.iter().any(|range| range.covers(&media.mime_type));
    arguments.md5.is_none()
        && arguments
            .sha256
            .is_none_or(|sha256| sha256.to_string() == media.sha256)
        && arguments.size.is_none_or(|expected| expected == size)
        && arguments.max_bytes.is_none_or(|max| size <= max)
        && arguments.accept_types.as_ref().is_none_or(accepts)
}

/// The result of an attempt that leaves a media in its place.
pub(super) fn unchanged(
    arguments: &ImportArguments,
    media: MediaId,
    origin: Option<serde_json::Value>,
) -> Imported {
    Imported::Unchanged(Unchanged {
        media,
        origin,
        shown_url: arguments.public_url(),
    })
}

fn fingerprint(url: &Url) -> String {
    let mut url = url.clone();
    // Credentials do not name another resource. A URL with a host has room for none.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.set_fragment(None);
    hex::encode(Sha256::digest(url.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_origin_is_that_of_one_url() {
        let url = |text: &str| fingerprint(&Url::parse(text).unwrap());
        let one = url("http://origin.test/a?id=1");
        assert_eq!(one, url("http://user:secret@origin.test/a?id=1#x"));
        assert_ne!(one, url("http://origin.test/a?id=2"));
    }
}
