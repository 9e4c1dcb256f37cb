//! Limits of a request's head: its size, one valid host, one length of the body.

use std::{net::Ipv6Addr, sync::Arc};

use poem::{
    Endpoint, Request, Result,
    http::{HeaderMap, Version, header},
};

use crate::jsonapi::{ApiError, ErrorCode};

/// The largest path and query, in bytes.
const MAX_TARGET_BYTES: usize = 16 * 1024;
/// The largest sum of all header names and values, in bytes. The token has a limit of its own.
const MAX_HEADER_BYTES: usize = 32 * 1024;

/// Refuses heads that are too large, or ambiguous.
pub(crate) async fn check_head<E: Endpoint>(
    endpoint: Arc<E>,
    request: Request,
) -> Result<E::Output> {
    check_size(&request)?;
    check_host(request.version(), request.headers()).map_err(ambiguous)?;
    check_transfer_encoding(request.headers()).map_err(ambiguous)?;
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
    let weight: usize = headers
        .filter(|(name, _)| *name != header::AUTHORIZATION)
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if weight > MAX_HEADER_BYTES {
        return Err(ApiError::new(
            ErrorCode::HeadersTooLarge,
            format!("the headers are larger than {MAX_HEADER_BYTES} bytes"),
        ));
    }
    Ok(())
}

/// Refuses a request that a proxy may have read differently, and closes the connection: the bytes that
/// follow may belong to its body.
fn ambiguous((name, detail): (header::HeaderName, &'static str)) -> ApiError {
    ApiError::at_header(ErrorCode::BadRequest, name.as_str(), detail)
        .with_header(header::CONNECTION, "close")
}

/// RFC 9112 §3.2: one `Host`, and a valid one. HTTP/1.0 has none.
fn check_host(
    version: Version,
    headers: &HeaderMap,
) -> Result<(), (header::HeaderName, &'static str)> {
    let mut hosts = headers.get_all(header::HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_10 => Ok(()),
        (Some(host), None) if host.to_str().is_ok_and(is_host) => Ok(()),
        _ => Err((
            header::HOST,
            "there must be one Host, with a host and perhaps a port",
        )),
    }
}

/// `uri-host [ ":" port ]` (RFC 9110 §7.2, RFC 3986 §3.2.2).
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

/// RFC 9112 §6.1, §6.3: `chunked` is the only known coding, and excludes `Content-Length`.
fn check_transfer_encoding(headers: &HeaderMap) -> Result<(), (header::HeaderName, &'static str)> {
    let mut codings = headers.get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |value: &[u8]| value.trim_ascii().eq_ignore_ascii_case(b"chunked");
    match (codings.next(), codings.next()) {
        (None, _) => Ok(()),
        (Some(coding), None)
            if is_chunked(coding.as_bytes()) && !headers.contains_key(header::CONTENT_LENGTH) =>
        {
            Ok(())
        }
        _ => Err((
            header::TRANSFER_ENCODING,
            "must be `chunked` alone, without Content-Length",
        )),
    }
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
    fn there_is_one_host_and_it_is_one() {
        let of = |hosts: &[&'static str]| {
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
            assert!(of(&[host]), "{host}");
        }
        for host in [
            "", "a b", "a/b", "u@a", "[::1", "[x]", "::1", "a:b", "a:80:80", "a,b/", ":80",
        ] {
            assert!(!of(&[host]), "{host}");
        }
        assert!(!of(&[]));
        assert!(!of(&["a", "a"]));
        assert!(check_host(Version::HTTP_10, &HeaderMap::new()).is_ok());
    }

    #[test]
    fn a_body_has_one_length() {
        let of = |codings: &[&'static str], length: bool| {
            let mut lines: Vec<_> = codings
                .iter()
                .map(|c| (header::TRANSFER_ENCODING, *c))
                .collect();
            lines.extend(length.then_some((header::CONTENT_LENGTH, "1")));
            check_transfer_encoding(&headers(&lines)).is_ok()
        };
        assert!(
            of(&[], true) && of(&[], false) && of(&["chunked"], false) && of(&["Chunked"], false)
        );
        for codings in [
            &["identity, chunked"][..],
            &["identity"],
            &["gzip, chunked"],
            &["chunked, chunked"],
            &["chunked", "chunked"],
            &["chunked", "identity"],
            &[""],
        ] {
            assert!(!of(codings, false), "{codings:?}");
        }
        assert!(!of(&["chunked"], true));
    }

    #[test]
    fn a_head_has_a_largest_size() {
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
