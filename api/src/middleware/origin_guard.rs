//! Protects a service without authentication from web pages in a browser on this machine: from DNS rebinding and
//! cross-site requests.

use std::sync::Arc;

use poem::{
    Endpoint, Request, Result,
    http::{HeaderMap, Method, header},
};
use url::Host;

use crate::jsonapi::{ApiError, ErrorCode};

/// Rejects requests of pages of other sites, unless callers are authenticated (`guarded`). Without authentication, the
/// service listens only on loopback addresses, which such pages can reach.
pub(crate) async fn guard_origin<E: Endpoint>(
    endpoint: Arc<E>,
    request: Request,
    guarded: bool,
) -> Result<E::Output> {
    if !guarded {
        check_origin(request.method(), request.headers())?;
    }
    endpoint.call(request).await
}

fn check_origin(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    let forbidden = |detail: &str| Err(ApiError::new(ErrorCode::Forbidden, detail));
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    // Browsers always send `Host`; HTTP/1.0 clients may not.
    if let Some(host) = text(header::HOST)
        && !is_this_machine(host)
    {
        return forbidden("the Host header must be localhost or a loopback address");
    }
    let site = text(header::HeaderName::from_static("sec-fetch-site"));
    let is_foreign = matches!(site, Some("cross-site" | "same-site"));
    // Subresources of a page (<img>, <video>, <script>). The answer to a `fetch` is protected by CORS.
    let mode = text(header::HeaderName::from_static("sec-fetch-mode"));
    if is_foreign && mode == Some("no-cors") {
        return forbidden("pages of other sites must not embed resources of this service");
    }
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    if is_foreign {
        return forbidden("pages of other sites must not change resources of this service");
    }
    match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) if origin != format!("http://{host}") => {
            forbidden("pages of other origins must not change resources of this service")
        }
        _ => Ok(()),
    }
}

fn is_this_machine(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    match Host::parse(name) {
        Ok(Host::Ipv4(address)) => address.is_loopback(),
        Ok(Host::Ipv6(address)) => address.is_loopback(),
        Ok(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(method: &Method, headers: &[(&'static str, &str)]) -> bool {
        let headers = headers
            .iter()
            .map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap()))
            .collect();
        check_origin(method, &headers).is_ok()
    }

    #[test]
    fn the_host_must_be_this_machine() {
        for host in [
            "localhost:8080",
            "127.0.0.1:8080",
            "localhost",
            "LocalHost:80",
            "[::1]:8080",
            "[::1]",
            "media.localhost",
        ] {
            assert!(allowed(&Method::GET, &[("host", host)]), "{host}");
        }
        for host in [
            "evil.test:8080",
            "192.168.0.2",
            "localhost.evil.test",
            "localhost:x",
            "me@localhost",
            "::1",
            "",
        ] {
            assert!(!allowed(&Method::GET, &[("host", host)]), "{host}");
        }
    }

    #[test]
    fn other_origins_may_read_and_not_change() {
        let host = ("host", "localhost:8080");
        assert!(allowed(&Method::POST, &[host]));
        assert!(allowed(
            &Method::POST,
            &[host, ("origin", "http://localhost:8080")]
        ));
        assert!(!allowed(
            &Method::POST,
            &[host, ("origin", "http://evil.test")]
        ));
        assert!(!allowed(&Method::POST, &[host, ("origin", "null")]));
        assert!(!allowed(
            &Method::DELETE,
            &[host, ("sec-fetch-site", "cross-site")]
        ));
        for (mode, may) in [("navigate", true), ("cors", true), ("no-cors", false)] {
            let headers = [
                host,
                ("sec-fetch-site", "cross-site"),
                ("sec-fetch-mode", mode),
            ];
            assert_eq!(allowed(&Method::GET, &headers), may, "{mode}");
        }
        let own = [
            host,
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "no-cors"),
        ];
        assert!(allowed(&Method::GET, &own));
    }
}
