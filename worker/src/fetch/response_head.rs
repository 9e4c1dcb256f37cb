//! The head of an answer: what it announces about the content.

use hyper::{
    HeaderMap, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{self, HeaderValue},
};
use media_domain::{content_disposition, media::Filename};
use parse_net::range::{ContentRange, parse_content_range};
use url::Url;

use super::{
    coding::{self, Coding},
    content_identity::{ByteRange, ContentIdentity},
    error::ExchangeError,
    validator::{OriginValidators, Validator},
};

/// The head of an answer with content.
#[derive(Clone, Debug)]
pub(crate) struct Head {
    /// The URL after redirects.
    pub(crate) url: Url,
    pub(crate) identity: ContentIdentity,
    /// The validators for a later request.
    pub(crate) validators: OriginValidators,
    /// The declared type, with parameters.
    pub(crate) content_type: Option<String>,
    /// The name in `Content-Disposition`.
    pub(crate) filename: Option<Filename>,
    pub(crate) accepts_ranges: bool,
}

/// How to read the body of an answer.
pub(super) struct BodyPlan {
    /// The content codings to remove, in this order.
    pub(super) codings: Vec<Coding>,
    /// The number of bytes, if hyper does not count them.
    pub(super) length: Option<u64>,
}

impl Head {
    /// Reads the head of an answer to a request for the whole content.
    pub(super) fn of_whole(
        url: &Url,
        response: &Response<Incoming>,
    ) -> Result<(Self, BodyPlan), ExchangeError> {
        let headers = response.headers();
        let length = body_length(response)?;
        let total = match response.status() {
            StatusCode::OK => length,
            // Some origins answer so though no range was requested. It is accepted if it is complete.
            StatusCode::PARTIAL_CONTENT if is_complete(headers, length) => complete_length(headers),
            status => return Err(ExchangeError::from_status(status, headers)),
        };
        let identity = ContentIdentity {
            total,
            validator: Validator::from_headers(headers),
        };
        let accepts_ranges = text(headers, header::ACCEPT_RANGES)
            .is_some_and(|units| units.eq_ignore_ascii_case("bytes"));
        let mut head = Self::read(url, headers, identity, accepts_ranges);
        let plan = head.body_plan(response, length)?;
        if !plan.codings.is_empty() {
            // Length, validator and ranges describe the coded bytes; offsets in the decoded bytes, which are
            // stored, cannot be requested.
            head.identity = ContentIdentity::default();
            head.accepts_ranges = false;
        }
        Ok((head, plan))
    }

    /// Reads the head of an answer to a request for a range; nothing if it does not bring exactly that range
    /// of the same content.
    pub(super) fn of_range(
        url: &Url,
        response: &Response<Incoming>,
        range: ByteRange,
        identity: &ContentIdentity,
    ) -> Result<Option<(Self, BodyPlan)>, ExchangeError> {
        let headers = response.headers();
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {}
            // The content is shorter by now.
            StatusCode::RANGE_NOT_SATISFIABLE => return Ok(None),
            status => return Err(ExchangeError::from_status(status, headers)),
        }
        let length = body_length(response)?;
        let Some(identity) = confirmed_identity(headers, length, range, identity) else {
            return Ok(None);
        };
        let head = Self::read(url, headers, identity, true);
        let plan = head.body_plan(response, length)?;
        // A range of coded bytes is no range of the file.
        Ok(plan.codings.is_empty().then_some((head, plan)))
    }

    fn read(
        url: &Url,
        headers: &HeaderMap,
        identity: ContentIdentity,
        accepts_ranges: bool,
    ) -> Self {
        let lossy = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Self {
            identity,
            validators: OriginValidators::from_headers(headers),
            content_type: headers.get(header::CONTENT_TYPE).map(lossy),
            filename: headers
                .get_all(header::CONTENT_DISPOSITION)
                .iter()
                .find_map(|value| content_disposition::filename(value.as_bytes())),
            accepts_ranges,
            url: url.clone(),
        }
    }

    fn body_plan(
        &self,
        response: &Response<Incoming>,
        length: Option<u64>,
    ) -> Result<BodyPlan, ExchangeError> {
        let path = self
            .url
            .path_segments()
            .and_then(|mut path| path.next_back());
        let given = self.filename.as_ref().map(Filename::as_str);
        let names: Vec<&str> = given.into_iter().chain(path).collect();
        let mime = self.content_type.as_deref().map(essence);
        Ok(BodyPlan {
            codings: coding::to_remove(response.headers(), &names, mime.as_deref())?,
            length: length.filter(|_| response.body().size_hint().exact().is_none()),
        })
    }
}

/// Returns the length of the body, if announced. `Transfer-Encoding: identity` makes hyper ignore a
/// `Content-Length`, which is used here.
fn body_length(response: &Response<Incoming>) -> Result<Option<u64>, ExchangeError> {
    let is_chunked = coding::is_chunked(response.headers())?;
    let counted = response.body().size_hint().exact();
    if is_chunked || counted.is_some() {
        return Ok(counted);
    }
    let mut lengths = response.headers().get_all(header::CONTENT_LENGTH).iter();
    let mut numbers = lengths
        .by_ref()
        .map(|value| value.to_str().ok()?.trim().parse::<u64>().ok());
    let first = numbers.next();
    match first {
        None => Ok(None),
        Some(Some(length)) if numbers.all(|other| other == Some(length)) => Ok(Some(length)),
        Some(_) => Err(ExchangeError::AmbiguousLength),
    }
}

/// Whether an answer brings a range that is the whole content (RFC 9110 §14.4).
fn is_complete(headers: &HeaderMap, length: Option<u64>) -> bool {
    let value = headers.get(header::CONTENT_RANGE);
    let range = value.map(|value| parse_content_range(value.as_bytes()));
    let Some(Ok(ContentRange::Satisfied { range, complete })) = range else {
        return false;
    };
    range.start == 0
        && complete == Some(range.len())
        && length.is_none_or(|length| length == range.len())
}

fn complete_length(headers: &HeaderMap) -> Option<u64> {
    match parse_content_range(headers.get(header::CONTENT_RANGE)?.as_bytes()) {
        Ok(ContentRange::Satisfied { complete, .. }) => complete,
        _ => None,
    }
}

/// Returns the identity of the content, completed by an answer that brings the requested range; nothing if it
/// brings another range or other content (RFC 9110 §14.4).
fn confirmed_identity(
    headers: &HeaderMap,
    length: Option<u64>,
    requested: ByteRange,
    identity: &ContentIdentity,
) -> Option<ContentIdentity> {
    let validator = identity.validator.as_ref()?;
    let value = headers.get(header::CONTENT_RANGE)?;
    let Ok(ContentRange::Satisfied { range, complete }) = parse_content_range(value.as_bytes())
    else {
        return None;
    };
    let total = identity.total.or(complete);
    // Without a known end, a truncated body could not be detected.
    if requested.end.is_none() && total.is_none() {
        return None;
    }
    let last = requested.end.or(total).and_then(|end| end.checked_sub(1));
    let is_requested = range.start == requested.start
        && last.is_none_or(|last| last == range.end)
        && length.is_none_or(|length| length == range.len());
    let same_length = identity.total.is_some() && complete == total;
    let is_same_content = validator.is_confirmed_by(headers, same_length)
        && (complete.is_none() || complete == total);
    (is_requested && is_same_content).then(|| ContentIdentity {
        total,
        validator: Some(validator.clone()),
    })
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Returns a media type without parameters.
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

    /// Returns the identity after an answer with the bytes 5 to 9 of 10.
    fn confirmed(total: Option<u64>, modified: Option<&'static str>) -> Option<ContentIdentity> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_RANGE, "bytes 5-9/10".parse().unwrap());
        if let Some(date) = modified {
            headers.insert(header::LAST_MODIFIED, date.parse().unwrap());
        }
        let range = ByteRange {
            start: 5,
            end: None,
        };
        let identity = ContentIdentity {
            total,
            validator: Some(Validator::LastModified(DATE.to_owned())),
        };
        confirmed_identity(&headers, Some(5), range, &identity)
    }

    #[test]
    fn an_unrequested_range_is_accepted_if_it_is_complete() {
        for (range, length, expected) in [
            ("bytes 0-9/10", Some(10), true),
            ("bytes 0-9/10", None, true),
            ("bytes 0-9/10", Some(9), false),
            ("bytes 0-8/10", Some(9), false),
            ("bytes 1-9/10", Some(9), false),
            ("bytes 0-9/*", Some(10), false),
            ("bytes */10", Some(10), false),
            ("items 0-9/10", Some(10), false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_RANGE, range.parse().unwrap());
            assert_eq!(is_complete(&headers, length), expected, "{range}");
        }
        assert!(!is_complete(&HeaderMap::new(), Some(10)));
    }

    #[test]
    fn a_range_without_a_date_is_confirmed_by_a_known_length() {
        assert!(confirmed(Some(10), Some(DATE)).is_some());
        assert!(confirmed(Some(10), None).is_some());
        assert!(confirmed(None, Some(DATE)).is_some());
        assert_eq!(confirmed(None, None), None);
        assert_eq!(confirmed(Some(11), Some(DATE)), None);
        let later = "Mon, 23 Nov 2026 12:00:01 GMT";
        assert_eq!(confirmed(Some(10), Some(later)), None);
    }
}
