//! A URL to fetch, and the headers and cookies that are sent to its origin.

use std::collections::BTreeMap;

use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use url::Url;

use super::cookies::Cookies;

/// A URL to fetch, with the headers and cookies of its origin.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(super) url: Url,
    /// The client's headers, for the first origin only.
    pub(super) headers: HeaderMap,
    pub(super) cookies: Cookies,
}

impl Target {
    /// Combines a URL with the client's headers for its origin; nothing if HTTP cannot carry one of them.
    pub(crate) fn new(url: &Url, headers: Option<&BTreeMap<String, String>>) -> Option<Self> {
        let headers = headers.into_iter().flatten().map(|(name, value)| {
            let name = HeaderName::try_from(name).ok()?;
            let mut value = HeaderValue::try_from(value).ok()?;
            value.set_sensitive(true);
            Some((name, value))
        });
        Some(Self {
            url: url.clone(),
            headers: headers.collect::<Option<_>>()?,
            cookies: Cookies::default(),
        })
    }

    /// Follows a redirect. Headers and cookies are dropped when it leads to another origin.
    pub(super) fn redirect(&mut self, next: Url, response: &HeaderMap) {
        if next.origin() == self.url.origin() {
            self.cookies.store(&self.url, response);
        } else {
            self.headers.clear();
            self.cookies.clear();
        }
        self.url = next;
    }
}
