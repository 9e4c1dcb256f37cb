//! Cookies that an origin sets in a redirect to itself (RFC 6265): some origins serve a file only to clients
//! that send them back. They belong to one import and one origin and are never stored.

use hyper::{
    HeaderMap,
    header::{self, HeaderValue},
};
use media_shared::clock::Clock;
use parse_net::date::{HttpDate, http_date};
use url::Url;

/// Maximum number of cookies of one origin.
const MAX_COOKIES: usize = 64;
/// Maximum size of a `Set-Cookie` header.
const MAX_COOKIE_BYTES: usize = 4096;
/// Maximum size of a `Cookie` header.
const MAX_HEADER_BYTES: usize = 16 * 1024;

/// The cookies of one origin.
#[derive(Clone, Debug, Default)]
pub(super) struct Cookies(Vec<Cookie>);

#[derive(Clone, Debug)]
struct Cookie {
    name: Vec<u8>,
    value: Vec<u8>,
    /// The cookie is sent to this path and below.
    path: Vec<u8>,
}

impl Cookies {
    /// Stores the cookies of an answer to a request for `url`.
    pub(super) fn store(&mut self, url: &Url, headers: &HeaderMap) {
        for value in headers.get_all(header::SET_COOKIE) {
            let Some((cookie, is_kept)) = Cookie::parse(url, value.as_bytes()) else {
                continue;
            };
            self.0
                .retain(|other| other.name != cookie.name || other.path != cookie.path);
            if is_kept && self.0.len() < MAX_COOKIES {
                self.0.push(cookie);
            }
        }
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Returns the header `Cookie` of a request: the client's own cookies, then those of the origin, which
    /// replace the client's of the same name.
    pub(super) fn header(&self, url: &Url, own: Option<&HeaderValue>) -> Option<HeaderValue> {
        let sent: Vec<&Cookie> = self.0.iter().filter(|cookie| cookie.covers(url)).collect();
        if sent.is_empty() {
            return own.cloned();
        }
        let is_replaced = |pair: &[u8]| {
            let name = pair.split(|byte| *byte == b'=').next();
            sent.iter().any(|cookie| Some(&cookie.name[..]) == name)
        };
        let own = own.map(HeaderValue::as_bytes).unwrap_or_default();
        let mut pairs: Vec<Vec<u8>> = own
            .split(|byte| *byte == b';')
            .map(<[u8]>::trim_ascii)
            .filter(|pair| !pair.is_empty() && !is_replaced(pair))
            .map(<[u8]>::to_vec)
            .collect();
        pairs.extend(
            sent.iter()
                .map(|cookie| [&cookie.name[..], b"=", &cookie.value].concat()),
        );
        let text = pairs.join(&b"; "[..]);
        let mut value = HeaderValue::from_bytes(&text).ok()?;
        value.set_sensitive(true);
        (text.len() <= MAX_HEADER_BYTES).then_some(value)
    }
}

impl Cookie {
    /// Parses a `Set-Cookie`, and whether it sets or removes the cookie (RFC 6265 §5.2).
    fn parse(url: &Url, field: &[u8]) -> Option<(Self, bool)> {
        let mut parts = field.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let (name, value) = split(parts.next()?);
        let value = value?;
        if name.is_empty() || field.len() > MAX_COOKIE_BYTES {
            return None;
        }
        let mut cookie = Self {
            name: name.to_vec(),
            value: value.to_vec(),
            path: default_path(url),
        };
        let (mut max_age, mut expires) = (None, None);
        for (name, value) in parts.map(split) {
            let value = value.unwrap_or_default();
            match name.to_ascii_lowercase().as_slice() {
                b"path" if value.starts_with(b"/") => cookie.path = value.to_vec(),
                b"secure" if url.scheme() != "https" => return None,
                b"domain" if !is_within(url, value) => return None,
                b"max-age" => max_age = std::str::from_utf8(value).ok()?.parse::<i64>().ok(),
                b"expires" => expires = http_date(value).ok().map(HttpDate::unix),
                _ => {}
            }
        }
        let is_kept = match (max_age, expires) {
            (Some(seconds), _) => seconds > 0,
            (None, Some(end)) => end > Clock::system().now().timestamp(),
            (None, None) => true,
        };
        Some((cookie, is_kept))
    }

    /// Whether the cookie is sent to a URL of its origin (RFC 6265 §5.1.4).
    fn covers(&self, url: &Url) -> bool {
        let Some(below) = url.path().as_bytes().strip_prefix(&self.path[..]) else {
            return false;
        };
        below.is_empty() || self.path.ends_with(b"/") || below.starts_with(b"/")
    }
}

fn split(pair: &[u8]) -> (&[u8], Option<&[u8]>) {
    match pair.iter().position(|byte| *byte == b'=') {
        Some(at) => (pair[..at].trim_ascii(), Some(pair[at + 1..].trim_ascii())),
        None => (pair, None),
    }
}

fn default_path(url: &Url) -> Vec<u8> {
    let path = url.path();
    match path.rfind('/') {
        Some(0) | None => b"/".to_vec(),
        Some(last) => path.as_bytes()[..last].to_vec(),
    }
}

/// Whether a host belongs to a domain.
fn is_within(url: &Url, domain: &[u8]) -> bool {
    let host = url.host_str().unwrap_or_default();
    let domain = String::from_utf8_lossy(domain).to_ascii_lowercase();
    let domain = domain.trim_start_matches('.');
    domain.is_empty()
        || host
            .strip_suffix(domain)
            .is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(set: &[&str], own: Option<&'static str>, to: &str) -> Option<String> {
        let url = Url::parse("http://origin.test/a/b").unwrap();
        let mut headers = HeaderMap::new();
        for value in set {
            headers.append(header::SET_COOKIE, value.parse().unwrap());
        }
        let mut cookies = Cookies::default();
        cookies.store(&url, &headers);
        let own = own.map(HeaderValue::from_static);
        let header = cookies.header(&url.join(to).unwrap(), own.as_ref());
        header.map(|value| value.to_str().unwrap().to_owned())
    }

    #[test]
    fn cookies_are_sent_to_matching_paths() {
        for (set, own, to, expected) in [
            (&["a=1; Path=/"][..], None, "/x", Some("a=1")),
            (&["a=1"], None, "/a/c", Some("a=1")),
            (&["a=1"], None, "/x", None),
            (&["a=1; path=/a"], None, "/ab", None),
            (
                &["a=1; Path=/", "a=2; Path=/", "b=\"3\"; Path=/; HttpOnly"],
                None,
                "/",
                Some("a=2; b=\"3\""),
            ),
            (&["a=1; Path=/", "a=; Path=/; Max-Age=0"], None, "/", None),
            (
                &["a=1; Path=/; Expires=Thu, 01 Jan 1970 00:00:00 GMT"],
                None,
                "/",
                None,
            ),
            (
                &["a=1; Path=/; Domain=.origin.test"],
                None,
                "/",
                Some("a=1"),
            ),
            (&["a=1; Path=/; Domain=other.test"], None, "/", None),
            (&["a=1; Path=/; Secure"], None, "/", None),
            (&["nothing", "=x"], None, "/", None),
            (&["a=1; Path=/"], Some("b=2; a=0"), "/", Some("b=2; a=1")),
            (&[], Some("b=2"), "/", Some("b=2")),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(sent(set, own, to), expected, "{set:?} to {to}");
        }
    }
}
