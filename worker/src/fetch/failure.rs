//! From an HTTP client's errors to failures that a client of ours can act on.

use std::{error::Error, io, time::Duration};

use media_shared::{
    clock::Clock,
    job::{Failure, FailureCode, arguments::redact_url},
};
use reqwest::{Response, StatusCode, header};
use url::Url;

use crate::egress::{EgressDenied, ResolveError};

/// The gate said no.
pub(super) fn denied(url: &Url, denied: &EgressDenied) -> Failure {
    let code = match denied {
        EgressDenied::Scheme => FailureCode::UnsupportedScheme,
        _ => FailureCode::EgressBlocked,
    };
    Failure::new(code, format!("{} is refused: {denied}", redact_url(url)))
}

/// The head of the answer did not come in time.
pub(super) fn no_response(url: &Url, limit: Duration) -> Failure {
    Failure::new(
        FailureCode::ResponseTimeout,
        format!("{} did not answer within {limit:?}", redact_url(url)),
    )
}

/// The body stopped coming.
pub(super) fn stalled(url: &Url, limit: Duration) -> Failure {
    Failure::new(
        FailureCode::Stalled,
        format!("{} sent no byte for {limit:?}", redact_url(url)),
    )
}

/// The request brought no answer.
pub(super) fn of_request(url: &Url, error: &reqwest::Error) -> Failure {
    let host = url.host_str().unwrap_or_default();
    if let Some(resolve) = find::<ResolveError>(error) {
        return match resolve {
            ResolveError::Denied(verdict) => denied(url, verdict),
            ResolveError::Unresolved(_) => Failure::new(
                FailureCode::DnsFailed,
                format!("the name {host} did not resolve; check its spelling"),
            ),
        };
    }
    if let Some(tls) = find::<rustls::Error>(error) {
        return Failure::new(
            FailureCode::TlsFailed,
            format!("no secure connection to {host}: {tls}"),
        );
    }
    if error.is_connect() {
        return if error.is_timeout() {
            let detail = format!("{host} did not take the connection in time");
            Failure::new(FailureCode::ConnectTimeout, detail)
        } else {
            let reason = find::<io::Error>(error).map_or("no connection", reason_of);
            let detail = format!("no connection to {host}: {reason}");
            Failure::new(FailureCode::ConnectFailed, detail)
        };
    }
    if find::<hyper::Error>(error).is_some_and(hyper::Error::is_parse) {
        let detail = format!(
            "{} answered with something that is not HTTP",
            redact_url(url)
        );
        return Failure::new(FailureCode::InvalidResponse, detail);
    }
    Failure::new(
        FailureCode::ConnectionLost,
        format!(
            "{} closed the connection without an answer",
            redact_url(url)
        ),
    )
}

/// The body broke off.
pub(super) fn of_body(url: &Url, error: &reqwest::Error) -> Failure {
    let url = redact_url(url);
    match find::<io::Error>(error).map(io::Error::kind) {
        // How hyper reports chunks that are none.
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => Failure::new(
            FailureCode::InvalidResponse,
            format!("{url} sent a body that is not valid HTTP"),
        ),
        Some(io::ErrorKind::UnexpectedEof) | None => Failure::new(
            FailureCode::IncompleteBody,
            format!("{url} ended its answer before all bytes had come"),
        ),
        Some(_) => Failure::new(
            FailureCode::ConnectionLost,
            format!("the connection to {url} broke before all bytes had come"),
        ),
    }
}

/// The answer is no success.
pub(super) fn of_status(url: &Url, response: &Response) -> Failure {
    let status = response.status();
    let (code, advice) = match status {
        StatusCode::NOT_FOUND => (FailureCode::OriginNotFound, "check the URL"),
        StatusCode::GONE => (FailureCode::OriginGone, "it was removed there"),
        StatusCode::UNAUTHORIZED => (
            FailureCode::OriginUnauthorized,
            "pass credentials in the argument `headers`",
        ),
        StatusCode::FORBIDDEN => (
            FailureCode::OriginForbidden,
            "a signed link may have expired, or credentials may be missing",
        ),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => (
            FailureCode::OriginBusy,
            "it asks to be left alone for a while",
        ),
        status if status.is_server_error() => {
            (FailureCode::OriginError, "the fault is at the origin")
        }
        _ => (FailureCode::OriginRefused, "only 200 brings the bytes"),
    };
    Failure {
        code,
        detail: format!("{} answered {status}; {advice}", redact_url(url)),
        retry_after: retry_after(response),
    }
}

/// `Retry-After`: seconds or a date (RFC 9110 §10.2.3).
fn retry_after(response: &Response) -> Option<Duration> {
    let value = response.headers().get(header::RETRY_AFTER)?;
    if let Ok(seconds) = value.to_str().ok()?.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = parse_net::date::http_date(value.as_bytes()).ok()?;
    let wait = date.unix() - Clock::system().now().timestamp();
    u64::try_from(wait).ok().map(Duration::from_secs)
}

fn reason_of(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "it was refused",
        io::ErrorKind::ConnectionReset => "it was reset",
        io::ErrorKind::HostUnreachable => "the host cannot be reached",
        io::ErrorKind::NetworkUnreachable => "the network cannot be reached",
        io::ErrorKind::TimedOut => "it timed out",
        _ => "it failed",
    }
}

/// Finds an error of a type in the chain of causes.
fn find<'e, T: Error + 'static>(error: &'e (dyn Error + 'static)) -> Option<&'e T> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(found) = error.downcast_ref::<T>() {
            return Some(found);
        }
        cause = match error.downcast_ref::<io::Error>().map(io::Error::get_ref) {
            // An I/O error passes over the error that it wraps when it is asked for its source.
            Some(Some(inner)) => Some(inner),
            _ => error.source(),
        };
    }
    None
}
