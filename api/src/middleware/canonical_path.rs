//! Rewrites paths to the form that the routes have.

use std::sync::Arc;

use poem::{
    Endpoint, Request, Result,
    http::{Uri, uri::PathAndQuery},
};

/// The paths below which a media is named: a resource, and a key that may have several segments.
const MEDIA_PATHS: [&str; 2] = ["/medias/files/", "/medias/info/"];

/// Rewrites the path of a request: the slashes of a key become `%2F`, so that a key is one segment for the routes; and
/// the slash at the end of any other path is removed.
pub(crate) async fn canonicalize_path<E: Endpoint>(
    endpoint: Arc<E>,
    mut request: Request,
) -> Result<E::Output> {
    if let Some(uri) = canonical_uri(request.uri()) {
        *request.uri_mut() = uri;
    }
    endpoint.call(request).await
}

fn canonical_uri(uri: &Uri) -> Option<Uri> {
    let path = canonical_path(uri.path())?;
    let text = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(text).ok()?);
    Uri::from_parts(parts).ok()
}

/// The canonical form of a path; none if it is canonical.
fn canonical_path(path: &str) -> Option<String> {
    let Some(prefix) = MEDIA_PATHS.iter().find(|prefix| path.starts_with(**prefix)) else {
        let rest = path.strip_suffix('/')?;
        return (!rest.is_empty() && !rest.ends_with('/')).then(|| rest.to_owned());
    };
    let (resource, key) = path[prefix.len()..].split_once('/')?;
    key.contains('/')
        .then(|| format!("{prefix}{resource}/{}", key.replace('/', "%2F")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_of_keys_are_encoded_and_those_at_the_end_of_other_paths_removed() {
        for (path, expected) in [
            ("/medias/files/a", None),
            ("/medias/files/a/b", None),
            ("/medias/files/a/", None),
            ("/medias/files/a/b/c", Some("/medias/files/a/b%2Fc")),
            ("/medias/info/a/b/c/", Some("/medias/info/a/b%2Fc%2F")),
            ("/medias/files/a//b", Some("/medias/files/a/%2Fb")),
            ("/medias/files/a/b%2Fc/d", Some("/medias/files/a/b%2Fc%2Fd")),
            ("/medias/", Some("/medias")),
            ("/jobs/1/", Some("/jobs/1")),
            ("/jobs//", None),
            ("/jobs", None),
            ("/", None),
        ] {
            assert_eq!(canonical_path(path).as_deref(), expected, "{path}");
        }
        let uri: Uri = "/medias/files/a/b/c?x=/".parse().unwrap();
        assert_eq!(
            canonical_uri(&uri).unwrap(),
            "/medias/files/a/b%2Fc?x=/".parse::<Uri>().unwrap()
        );
    }
}
