//! What the head of an answer says about the bytes to come.

use hyper::{
    HeaderMap, Response, StatusCode,
    body::{Body as _, Incoming},
    header::{self, HeaderValue},
};
use media_domain::{content_disposition, job::Failure, media::Filename};
use parse_net::range::{ContentRange, parse_content_range};
use url::Url;

use super::{
    FetchError, Identity, Part,
    coding::{self, Coding},
    failure,
    validator::Validator,
};

/// The head of an answer that carries bytes.
#[derive(Clone, Debug)]
pub struct Head {
    /// Where the answer came from, after redirects.
    pub url: Url,
    /// What tells the bytes from others at the same URL.
    pub identity: Identity,
    /// The type that the origin declares, with parameters.
    pub content_type: Option<String>,
    /// The name that the origin gives the file.
    pub filename: Option<Filename>,
    /// Whether the origin says that it gives parts.
    pub accepts_ranges: bool,
}

/// How the body of an answer is to be read.
pub(super) struct BodyPlan {
    /// The content codings to undo, in this order.
    pub(super) codings: Vec<Coding>,
    /// How many bytes it has, where the HTTP library does not count them.
    pub(super) length: Option<u64>,
}

impl Head {
    /// Reads the head of an answer to a request for all the bytes.
    pub(super) fn of_whole(
        url: Url,
        response: &Response<Incoming>,
    ) -> Result<(Self, BodyPlan), Failure> {
        let headers = response.headers();
        let length = body_length(&url, response)?;
        let total = match response.status() {
            StatusCode::OK => length,
            // Some answer so though no range was asked for. It is good if it brings all.
            StatusCode::PARTIAL_CONTENT if is_complete(headers, length) => complete_length(headers),
            status => return Err(failure::of_status(&url, status, headers)),
        };
        let identity = Identity {
            total,
            validator: Validator::of(headers),
        };
        let accepts_ranges = text(headers, header::ACCEPT_RANGES)
            .is_some_and(|units| units.eq_ignore_ascii_case("bytes"));
        let mut head = Self::read(url, headers, identity, accepts_ranges);
        let plan = head.body_plan(response, length)?;
        if !plan.codings.is_empty() {
            // Length, validator and ranges are those of the coded bytes, which are not kept: what is
            // kept cannot be gone on with by offsets.
            head.identity = Identity::default();
            head.accepts_ranges = false;
        }
        Ok((head, plan))
    }

    /// Reads the head of an answer to a request for a part: it must bring just that part, of the
    /// same bytes.
    pub(super) fn of_part(
        url: Url,
        response: &Response<Incoming>,
        part: Part,
        identity: &Identity,
    ) -> Result<(Self, BodyPlan), FetchError> {
        let headers = response.headers();
        match response.status() {
            StatusCode::PARTIAL_CONTENT => {}
            // Fewer bytes by now.
            StatusCode::RANGE_NOT_SATISFIABLE => return Err(FetchError::Changed(None)),
            status => return Err(failure::of_status(&url, status, headers).into()),
        }
        let length = body_length(&url, response)?;
        let Some(identity) = identity_by(headers, length, part, identity) else {
            return Err(FetchError::Changed(None));
        };
        let head = Self::read(url, headers, identity, true);
        let plan = head.body_plan(response, length)?;
        if plan.codings.is_empty() {
            Ok((head, plan))
        } else {
            // A part of coded bytes is no part of the file.
            Err(FetchError::Changed(None))
        }
    }

    fn read(url: Url, headers: &HeaderMap, identity: Identity, accepts_ranges: bool) -> Self {
        let lossy = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
        Self {
            identity,
            content_type: headers.get(header::CONTENT_TYPE).map(lossy),
            filename: headers
                .get_all(header::CONTENT_DISPOSITION)
                .iter()
                .find_map(|value| content_disposition::filename(value.as_bytes())),
            accepts_ranges,
            url,
        }
    }

    fn body_plan(
        &self,
        response: &Response<Incoming>,
        length: Option<u64>,
    ) -> Result<BodyPlan, Failure> {
        let path = self
            .url
            .path_segments()
            .and_then(|mut path| path.next_back());
        let given = self.filename.as_ref().map(Filename::as_str);
        let names: Vec<&str> = given.into_iter().chain(path).collect();
        let mime = self.content_type.as_deref().map(essence);
        Ok(BodyPlan {
            codings: coding::to_undo(&self.url, response.headers(), &names, mime.as_deref())?,
            length: length.filter(|_| response.body().size_hint().exact().is_none()),
        })
    }
}

/// How many bytes the body has, if the origin says so. `Transfer-Encoding: identity` makes the HTTP
/// library pass over a `Content-Length`, which counts all the same.
fn body_length(url: &Url, response: &Response<Incoming>) -> Result<Option<u64>, Failure> {
    let is_chunked = coding::check_transfer(url, response.headers())?;
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
        Some(_) => Err(failure::bad_length(url)),
    }
}

/// Whether an answer brings a range that is all there is (RFC 9110 §14.4).
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

fn text(headers: &HeaderMap, name: header::HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// A media type without parameters.
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
    fn an_unasked_range_is_taken_if_it_is_all() {
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
