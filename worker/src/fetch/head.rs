//! What the head of an answer says about the bytes to come.

use hyper::{
    HeaderMap, Response, StatusCode,
    body::{Body as _, Incoming},
    header,
};
use media_shared::job::{Failure, FailureCode, arguments::redact_url};
use parse_net::range::{ContentRange, parse_content_range};
use url::Url;

use super::{FetchError, Identity, Part, failure, validator::Validator};

/// The head of an answer that carries bytes.
#[derive(Clone, Debug)]
pub struct Head {
    /// Where the answer came from, after redirects.
    pub url: Url,
    /// What tells the bytes from others at the same URL.
    pub identity: Identity,
    /// What the origin says the bytes are, without parameters.
    pub content_type: Option<String>,
    /// `Content-Disposition`, as it came.
    pub content_disposition: Option<Vec<u8>>,
    /// Whether the origin says that it gives parts.
    pub accepts_ranges: bool,
}

impl Head {
    /// Reads the head of an answer to a request for all the bytes.
    pub(super) fn of_whole(url: Url, response: &Response<Incoming>) -> Result<Self, Failure> {
        if response.status() != StatusCode::OK {
            return Err(failure::of_status(
                &url,
                response.status(),
                response.headers(),
            ));
        }
        refuse_codings(&url, response.headers())?;
        let headers = response.headers();
        let identity = Identity {
            total: response.body().size_hint().exact(),
            validator: Validator::of(headers),
        };
        let accepts_ranges = text(headers, header::ACCEPT_RANGES)
            .is_some_and(|units| units.eq_ignore_ascii_case("bytes"));
        Ok(Self::read(url, headers, identity, accepts_ranges))
    }

    /// Reads the head of an answer to a request for a part: it must bring just that part, of the
    /// same bytes.
    pub(super) fn of_part(
        url: Url,
        response: &Response<Incoming>,
        part: Part,
        identity: &Identity,
    ) -> Result<Self, FetchError> {
        let headers = response.headers();
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {}
            // Fewer bytes by now.
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(FetchError::Changed(None)),
            status => return Err(failure::of_status(&url, status, headers).into()),
        }
        refuse_codings(&url, headers)?;
        let length = response.body().size_hint().exact();
        let Some(identity) = identity_by(headers, length, part, identity) else {
            return Err(FetchError::Changed(None));
        };
        Ok(Self::read(url, headers, identity, true))
    }

    fn read(url: Url, headers: &HeaderMap, identity: Identity, accepts_ranges: bool) -> Self {
        Self {
            identity,
            content_type: text(headers, header::CONTENT_TYPE).map(essence),
            content_disposition: headers
                .get(header::CONTENT_DISPOSITION)
                .map(|value| value.as_bytes().to_vec()),
            accepts_ranges,
            url,
        }
    }
}

/// What is known of the bytes by an answer that brings the part that was asked for; nothing if it
/// brings another, or a part of other bytes (RFC 9110 §14.4).
fn identity_by(
    headers: &HeaderMap,
    length: Option<u64>,
    part: Part,
    identity: &Identity,
) -> Option<Identity> {
    let validator = identity.validator.as_ref()?;
    let value = headers.get(header::CONTENT_RANGE)?;
    let Ok(ContentRange::Satisfied { range, complete }) = parse_content_range(value.as_bytes())
    else {
        return None;
    };
    let total = identity.total.or(complete);
    // An end that nobody has named cannot be told from one that came too soon.
    if part.end.is_none() && total.is_none() {
        return None;
    }
    let last = part.end.or(total).and_then(|end| end.checked_sub(1));
    let is_the_part = range.start == part.start
        && last.is_none_or(|last| last == range.end)
        && length.is_none_or(|length| length == range.len());
    let same_length = identity.total.is_some() && complete == total;
    let is_the_same = validator.is_confirmed_by(headers, same_length)
        && (complete.is_none() || complete == total);
    (is_the_part && is_the_same).then(|| Identity {
        total,
        validator: Some(validator.clone()),
    })
}

/// Refuses bytes in a coding: they would not be those that were asked for. `Transfer-Encoding` may
/// say `chunked`, which is undone on the way, and nothing else (RFC 9112 §6.1).
fn refuse_codings(url: &Url, headers: &HeaderMap) -> Result<(), Failure> {
    let codings = |name| headers.get_all(name).iter();
    let content = codings(header::CONTENT_ENCODING).map(|value| (value, "identity"));
    let transfer = codings(header::TRANSFER_ENCODING).map(|value| (value, "chunked"));
    for (value, expected) in content.chain(transfer) {
        let coding = String::from_utf8_lossy(value.as_bytes());
        let coding = coding.trim();
        if !coding.is_empty() && !coding.eq_ignore_ascii_case(expected) {
            let shown: String = coding.chars().take(32).collect();
            return Err(Failure::new(
                FailureCode::UnsupportedEncoding,
                format!(
                    "{} sent its bytes in the coding `{shown}`, though only `identity` was asked for; the origin has to be set right",
                    redact_url(url)
                ),
            ));
        }
    }
    Ok(())
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn essence(content_type: &str) -> String {
    content_type
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATE: &str = "Mon, 23 Nov 2026 12:00:00 GMT";

    /// What is known by an answer that brings the bytes 5 to 9 of 10.
    fn known(total: Option<u64>, modified: Option<&'static str>) -> Option<Identity> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_RANGE, "bytes 5-9/10".parse().unwrap());
        if let Some(date) = modified {
            headers.insert(header::LAST_MODIFIED, date.parse().unwrap());
        }
        let part = Part {
            start: 5,
            end: None,
        };
        let identity = Identity {
            total,
            validator: Some(Validator::LastModified(DATE.to_owned())),
        };
        identity_by(&headers, Some(5), part, &identity)
    }

    #[test]
    fn a_part_that_says_nothing_of_its_date_is_taken_by_a_length_that_was_known() {
        assert!(known(Some(10), Some(DATE)).is_some());
        assert!(known(Some(10), None).is_some());
        assert!(known(None, Some(DATE)).is_some());
        assert_eq!(known(None, None), None);
        assert_eq!(known(Some(11), Some(DATE)), None);
        let later = "Mon, 23 Nov 2026 12:00:01 GMT";
        assert_eq!(known(Some(10), Some(later)), None);
    }
}
