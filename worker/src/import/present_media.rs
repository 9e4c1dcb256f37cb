//! The media that is at the path of an import already: what `if_exists` says of it, and the origin's validators that are
//! stored with it.

use media_database::{entities::media, job_repository::PresentMedia, media_repository::NewMedia};
use media_domain::job::{IfExists, ImportArguments, MediaRange};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::fetch::OriginValidators;

/// Headers with credentials, in lower case.
const CREDENTIAL_HEADERS: [&str; 2] = ["authorization", "cookie"];

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
    pub(crate) media: PresentMedia,
    /// The validators that the origin has now, if they are to be kept.
    pub(crate) origin: Option<serde_json::Value>,
    /// The redacted URL of the job.
    pub(crate) shown_url: String,
}

/// The origin of a media's bytes, as its column `origin` has it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct StoredOrigin {
    /// The fingerprint of the request: validators of another one tell nothing.
    request: String,
    /// The fingerprint of the URL after redirects, which may lead to another file by now.
    final_url: String,
    #[serde(flatten)]
    validators: OriginValidators,
}

/// A question to an origin: whether a media is still what an import would store.
pub(super) struct Condition {
    pub(super) validators: OriginValidators,
    final_url: String,
}

impl Condition {
    /// The condition for a media; nothing if the answer needs its bytes.
    pub(super) fn new(arguments: &ImportArguments, media: &media::Model) -> Option<Self> {
        let origin = serde_json::from_value::<StoredOrigin>(media.origin.clone()?).ok()?;
        let is_same_request = origin.request == request_fingerprint(arguments);
        (is_same_request && fulfils(arguments, media)).then_some(Self {
            validators: origin.validators,
            final_url: origin.final_url,
        })
    }

    /// Whether an answer from this URL, after redirects, is about the same file.
    pub(super) fn concerns(&self, url: &Url) -> bool {
        self.final_url == url_fingerprint(url)
    }
}

/// Describes the origin of imported bytes; nothing if it has sent no validators.
pub(super) fn stored_origin(
    arguments: &ImportArguments,
    final_url: &Url,
    validators: &OriginValidators,
) -> Option<serde_json::Value> {
    if validators.is_empty() {
        return None;
    }
    let origin = StoredOrigin {
        request: request_fingerprint(arguments),
        final_url: url_fingerprint(final_url),
        validators: validators.clone(),
    };
    serde_json::to_value(origin).ok()
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
    media: &media::Model,
    origin: Option<serde_json::Value>,
) -> Imported {
    Imported::Unchanged(Unchanged {
        media: media.into(),
        origin,
        shown_url: arguments.public_url(),
    })
}

/// The SHA-256 of a URL, which may have secrets.
fn url_fingerprint(url: &Url) -> String {
    hex::encode(Sha256::digest(without_credentials(url).as_str()))
}

/// The SHA-256 of a URL and the headers that may select another representation of it.
fn request_fingerprint(arguments: &ImportArguments) -> String {
    let mut hash = Sha256::new();
    hash.update(without_credentials(&arguments.url).as_str());
    for (name, value) in arguments.headers.iter().flatten() {
        let name = name.to_ascii_lowercase();
        if !CREDENTIAL_HEADERS.contains(&name.as_str()) {
            // No URL, name or value has a line feed.
            hash.update(format!("\n{name}: {value}"));
        }
    }
    hex::encode(hash.finalize())
}

/// Credentials do not name another resource.
fn without_credentials(url: &Url) -> Url {
    let mut url = url.clone();
    // A URL with a host has room for none.
    let _ = url.set_username("").and_then(|()| url.set_password(None));
    url.set_fragment(None);
    url
}

#[cfg(test)]
mod tests {
    use media_domain::job::arguments::RawImportArguments;

    use super::*;

    #[test]
    fn a_fingerprint_is_of_one_url_and_its_headers() {
        let request = |url: &str, headers: &[(&str, &str)]| {
            let headers = headers
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            let raw = RawImportArguments {
                url: url.to_owned(),
                resource: "r".to_owned(),
                headers: Some(headers.collect()),
                ..RawImportArguments::default()
            };
            request_fingerprint(&ImportArguments::check(raw).unwrap())
        };
        let one = request("http://origin.test/a?id=1", &[]);
        assert_eq!(one, request("http://user:secret@origin.test/a?id=1", &[]));
        assert_eq!(
            one,
            request(
                "http://origin.test/a?id=1",
                &[("Authorization", "Bearer a")]
            )
        );
        assert_ne!(one, request("http://origin.test/a?id=2", &[]));
        let german = request("http://origin.test/a?id=1", &[("Accept-Language", "de")]);
        assert_ne!(one, german);
        assert_ne!(
            german,
            request("http://origin.test/a?id=1", &[("Accept-Language", "en")])
        );
    }
}
