//! Targets of redirects.

use std::borrow::Cow;

use hyper::{Response, header};
use url::Url;

use super::error::ExchangeError;

/// Returns the target of a redirect, or nothing if the answer is none. 300 and 304 are not redirects that can
/// be followed (RFC 9110 §15.4).
pub(super) fn target<B>(
    url: &Url,
    response: &Response<B>,
    may_downgrade: bool,
) -> Result<Option<Url>, ExchangeError> {
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let location = response
        .headers()
        .get(header::LOCATION)
        .ok_or(ExchangeError::BadRedirect("without saying where to"))?;
    let target = url
        .join(&reference(location.as_bytes()))
        .map_err(|_| ExchangeError::BadRedirect("to something that is not a URL"))?;
    let downgrade = url.scheme() == "https" && target.scheme() == "http";
    if downgrade && !may_downgrade {
        return Err(ExchangeError::BadRedirect(
            "from https to http, which is not followed; the operator can allow it with MEDIA_EGRESS_DOWNGRADE",
        ));
    }
    Ok(Some(target))
}

/// Converts a `Location` to text. Bytes of text that is not UTF-8 are percent-encoded as they are.
fn reference(location: &[u8]) -> Cow<'_, str> {
    match std::str::from_utf8(location) {
        Ok(text) => text.into(),
        Err(_) => location
            .iter()
            .map(|byte| match byte {
                0x80.. => format!("%{byte:02X}"),
                byte => char::from(*byte).to_string(),
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    fn leads_to(location: &[u8]) -> Option<String> {
        let url = Url::parse("http://origin.test/a/b?c").unwrap();
        let location = HeaderValue::from_bytes(location).unwrap();
        let response = Response::builder()
            .status(302)
            .header(header::LOCATION, location);
        let target = target(&url, &response.body(()).unwrap(), false).ok()?;
        target.map(String::from)
    }

    #[test]
    fn a_location_in_any_charset_keeps_its_bytes() {
        for (location, expected) in [
            (&b"/x"[..], Some("http://origin.test/x")),
            (b"x y", Some("http://origin.test/a/x%20y")),
            (b"//other.test", Some("http://other.test/")),
            (
                b"/caf\xe9.png?n=\xfc",
                Some("http://origin.test/caf%E9.png?n=%FC"),
            ),
            (
                b"http://origin.test/\xa4\xa4\xa4\xe5.jpg",
                Some("http://origin.test/%A4%A4%A4%E5.jpg"),
            ),
            (
                "/café.png".as_bytes(),
                Some("http://origin.test/caf%C3%A9.png"),
            ),
            (b"http://\xe9.test/", None),
            (b"http:///", None),
        ] {
            let expected = expected.map(str::to_owned);
            assert_eq!(leads_to(location), expected, "{}", location.escape_ascii());
        }
    }
}
