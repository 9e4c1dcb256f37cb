//! Checks the head of a request: its size, its host, the length of the body, and its expectation.

use std::{net::Ipv6Addr, sync::Arc};

use poem::{
    Endpoint, Request, Result,
    http::{HeaderMap, Version, header},
};

use crate::jsonapi::{ApiError, ErrorCode};

/// The largest path and query, in bytes.
const MAX_TARGET_BYTES: usize = 16 * 1024;
/// The largest sum of all header names and values, in bytes. The token has a separate limit.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// Rejects heads that are too large or ambiguous.
pub(crate) async fn check_head<E: Endpoint>(
    endpoint: Arc<E>,
    request: Request,
) -> Result<E::Output> {
    check_size(&request)?;
    check_host(request.version(), request.headers())?;
    check_transfer_encoding(request.headers())?;
    check_expectation(request.version(), request.headers())?;
    endpoint.call(request).await
}

fn check_size(request: &Request) -> Result<(), ApiError> {
    let target = request.uri().path_and_query();
    if target.is_some_and(|target| target.as_str().len() > MAX_TARGET_BYTES) {
        return Err(ApiError::new(
            ErrorCode::UriTooLong,
            format!("path and query are longer than {MAX_TARGET_BYTES} bytes"),
        ));
    }
    let headers = request.headers().iter();
    let header_bytes: usize = headers
        .filter(|(name, _)| *name != header::AUTHORIZATION)
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if header_bytes > MAX_HEADER_BYTES {
        return Err(ApiError::new(
            ErrorCode::HeadersTooLarge,
            format!("the headers are larger than {MAX_HEADER_BYTES} bytes"),
        ));
    }
    Ok(())
}

/// Rejects a request that a proxy may have parsed differently. The connection is closed, as the bytes that follow may
/// belong to the body.
fn ambiguous(name: &header::HeaderName, detail: &str) -> ApiError {
    ApiError::at_header(ErrorCode::BadRequest, name.as_str(), detail)
        .with_header(header::CONNECTION, "close")
}

/// Requires a single, valid `Host` (RFC 9112 §3.2). HTTP/1.0 requests may have none.
fn check_host(version: Version, headers: &HeaderMap) -> Result<(), ApiError> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_10 => Ok(()),
        (Some(host), None) if host.to_str().is_ok_and(is_host) => Ok(()),
        _ => Err(ambiguous(
            &header::HOST,
            "there must be one Host header: a host and an optional port",
        )),
    }
}

/// Whether a text is a `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2).
fn is_host(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (text, ""),
    };
    let in_brackets = host
        .strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'));
    let is_name = || {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=".contains(&byte);
        !host.is_empty() && host.bytes().all(plain)
    };
    port.bytes().all(|digit| digit.is_ascii_digit())
        && in_brackets.map_or_else(is_name, |address| address.parse::<Ipv6Addr>().is_ok())
}

/// Requires that the only coding is `chunked`, and that it excludes `Content-Length` (RFC 9112 §6.1, §6.3).
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), ApiError> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"chunked");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None)
            if is_chunked(coding.as_bytes()) && !headers.contains_key(header::CONTENT_LENGTH) =>
        {
            Ok(())
        }
        _ => Err(ambiguous(
            &header::TRANSFER_ENCODING,
            "must be `chunked` alone, without Content-Length",
        )),
    }
}

/// Rejects expectations other than `100-continue` (RFC 9110 §10.1.1). Those of HTTP/1.0 clients are ignored.
fn check_expectation(version: Version, headers: &HeaderMap) -> Result<(), ApiError> {
    let mut expectations = headers.get_all(header::EXPECT).iter();
    let is_known = |value: &header::HeaderValue| {
        let value = value.as_bytes().trim_ascii();
        value.eq_ignore_ascii_case(b"100-continue")
    };
    if version == Version::HTTP_10 || expectations.all(is_known) {
        return Ok(());
    }
    Err(ApiError::at_header(
        ErrorCode::ExpectationFailed,
        header::EXPECT.as_str(),
        "the only expectation that this service meets is `100-continue`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(header::HeaderName, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn a_request_needs_a_single_valid_host() {
        let is_accepted = |hosts: &[&'static str]| {
            let lines: Vec<_> = hosts.iter().map(|host| (header::HOST, *host)).collect();
            check_host(Version::HTTP_11, &headers(&lines)).is_ok()
        };
        for host in [
            "a",
            "a.example:80",
            "127.0.0.1:8080",
            "[::1]",
            "[::1]:80",
            "a:",
            "xn--a_b",
        ] {
            assert!(is_accepted(&[host]), "{host}");
        }
        for host in [
            "", "a b", "a/b", "u@a", "[::1", "[x]", "::1", "a:b", "a:80:80", "a,b/", ":80",
        ] {
            assert!(!is_accepted(&[host]), "{host}");
        }
        assert!(!is_accepted(&[]));
        assert!(!is_accepted(&["a", "a"]));
        assert!(check_host(Version::HTTP_10, &HeaderMap::new()).is_ok());
    }

    #[test]
    fn the_length_of_a_body_is_unambiguous() {
        let is_accepted = |codings: &[&'static str], length: bool| {
            let mut lines: Vec<_> = codings
                .iter()
                .map(|c| (header::TRANSFER_ENCODING, *c))
                .collect();
            lines.extend(length.then_some((header::CONTENT_LENGTH, "1")));
            check_transfer_encoding(&headers(&lines)).is_ok()
        };
        assert!(is_accepted(&[], true) && is_accepted(&[], false));
        assert!(is_accepted(&["chunked"], false) && is_accepted(&["Chunked"], false));
        for codings in [
            &["identity, chunked"][..],
            &["identity"],
            &["gzip, chunked"],
            &["chunked, chunked"],
            &["chunked", "chunked"],
            &["chunked", "identity"],
            &[""],
        ] {
            assert!(!is_accepted(codings, false), "{codings:?}");
        }
        assert!(!is_accepted(&["chunked"], true));
    }

    #[test]
    fn only_100_continue_may_be_expected() {
        let is_accepted = |version, values: &[&'static str]| {
            let lines: Vec<_> = values.iter().map(|v| (header::EXPECT, *v)).collect();
            check_expectation(version, &headers(&lines)).is_ok()
        };
        assert!(is_accepted(Version::HTTP_11, &[]));
        assert!(is_accepted(Version::HTTP_11, &["100-Continue"]));
        assert!(!is_accepted(Version::HTTP_11, &["a-miracle"]));
        assert!(!is_accepted(Version::HTTP_11, &["100-continue", "x"]));
        assert!(is_accepted(Version::HTTP_10, &["a-miracle"]));
    }

    #[test]
    fn the_size_of_a_head_is_limited() {
        let with = |target: usize, header: usize| {
            let path = format!("/{}", "a".repeat(target - 1));
            let request = Request::builder().uri_str(path);
            check_size(&request.header("x", "a".repeat(header - 1)).finish())
        };
        assert_eq!(with(MAX_TARGET_BYTES, MAX_HEADER_BYTES), Ok(()));
        assert!(with(MAX_TARGET_BYTES + 1, 1).is_err());
        assert!(with(1, MAX_HEADER_BYTES + 1).is_err());
    }
}
