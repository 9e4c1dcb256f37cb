//! The headers `Repr-Digest` and `Content-Digest` of uploads (RFC 9530).

use media_domain::media::{DigestFieldError, ExpectedDigests};
use poem::http::{HeaderMap, HeaderValue};

use crate::{
    jsonapi::{ApiError, ErrorCode},
    multipart::{DIGEST_HEADERS, PartHead},
};

/// A header whose digests cannot be used.
#[derive(Debug, PartialEq, Eq)]
struct HeaderError {
    name: &'static str,
    error: DigestFieldError,
}

impl HeaderError {
    /// The detail of an error document.
    fn detail(&self) -> String {
        let Self { name, error } = self;
        format!("`{name}` {error}")
    }
}

/// Reads the digests in the headers of a request whose body is the file. The body has no content coding and is no part
/// of a file, so that both headers describe the same bytes.
pub(super) fn of_request(headers: &HeaderMap) -> Result<ExpectedDigests, ApiError> {
    let lines = |name: &'static str| headers.get_all(name).iter().map(HeaderValue::as_bytes);
    expected_digests(|name| lines(name).collect())
        .map_err(|error| ApiError::at_header(ErrorCode::BadRequest, error.name, error.detail()))
}

/// Reads the digests in the headers of the file's part of a form. `pointer` leads to the part.
pub(super) fn of_part(part: &PartHead, pointer: &str) -> Result<ExpectedDigests, ApiError> {
    let lines = |name: &'static str| {
        let lines = part.digests.iter().filter(move |(known, _)| known == name);
        lines.map(|(_, value)| value.as_slice())
    };
    expected_digests(|name| lines(name).collect())
        .map_err(|error| ApiError::at_pointer(ErrorCode::BadRequest, pointer, error.detail()))
}

/// Joins the digests of both headers. `lines` returns the lines of a header.
fn expected_digests<'a>(
    lines: impl Fn(&'static str) -> Vec<&'a [u8]>,
) -> Result<ExpectedDigests, HeaderError> {
    let mut expected = ExpectedDigests::default();
    for name in DIGEST_HEADERS {
        let lines = lines(name);
        if lines.is_empty() {
            continue;
        }
        // Several lines are one list (RFC 9110 §5.3).
        let found = ExpectedDigests::from_field(&lines.join(&b", "[..]));
        let joined = found.and_then(|found| expected.and(found));
        expected = joined.map_err(|error| HeaderError { name, error })?;
    }
    Ok(expected)
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha-256=:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=:";
    const OTHER: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";

    #[test]
    fn both_headers_may_have_several_lines_and_must_agree() {
        let read = |lines: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in lines {
                headers.append(*name, value.parse().unwrap());
            }
            of_request(&headers).map_err(|error| error.to_string())
        };
        assert_eq!(read(&[]), Ok(ExpectedDigests::default()));
        let both = read(&[
            ("repr-digest", "md5=:AQ==:"),
            ("repr-digest", EMPTY),
            ("content-digest", EMPTY),
        ]);
        assert!(both.unwrap().sha256.is_some());
        let error = read(&[("repr-digest", EMPTY), ("content-digest", OTHER)]).unwrap_err();
        assert!(
            error.contains("`content-digest` has another `sha-256`"),
            "{error}"
        );
        let error = read(&[("content-digest", "sha-256")]).unwrap_err();
        assert!(error.contains("`content-digest` must be"), "{error}");
    }
}
