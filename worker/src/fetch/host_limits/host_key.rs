//! The key under which the limits of a host are stored.

use url::Url;

/// Returns the host of a URL without the trailing dot of an absolute name.
pub(super) fn host_key(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_end_matches('.')
}
