//! From an HTTP client's errors to failures that a client of ours can act on.

use std::{error::Error, io, ops::Range, time::Duration};

use hyper::{HeaderMap, StatusCode, header};
use media_domain::{
    clock::Clock,
    job::{Failure, FailureCode, arguments::redact_url},
};
use rand::RngExt as _;
use url::Url;

use super::connect::ConnectError;
use crate::egress::{DialError, EgressDenied};

/// When an import comes back that found no room at its host.
const CROWD_WAIT: Range<Duration> = Duration::from_secs(2)..Duration::from_secs(10);

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

/// Bytes come, but hardly any.
pub(super) fn too_slow(url: &Url, window: Duration) -> Failure {
    Failure::new(
        FailureCode::TooSlow,
        format!("{} sent hardly a byte for {window:?}", redact_url(url)),
    )
}

/// The URL has characters that HTTP cannot carry.
pub(super) fn unsendable(url: &Url) -> Failure {
    let detail = format!("{} cannot be sent in a request", redact_url(url));
    Failure::new(FailureCode::InvalidArguments, detail)
}

/// The host wants to be left alone for so long.
pub(super) fn postponed(url: &Url, wait: Duration) -> Failure {
    let host = url.host_str().unwrap_or_default();
    Failure {
        code: FailureCode::OriginBusy,
        detail: format!(
            "{host} asks all to leave it alone; the import goes on when it may be asked again, and no attempt is spent on the wait"
        ),
        retry_after: Some(wait),
        postponed: true,
    }
}

/// As many connections to the host are in use as all workers may have together.
pub(super) fn crowded(url: &Url) -> Failure {
    let host = url.host_str().unwrap_or_default();
    let wait = rand::rng().random_range(CROWD_WAIT);
    Failure {
        code: FailureCode::OriginBusy,
        detail: format!(
            "as many connections to {host} are in use as MEDIA_FETCH_CONNECTIONS allows; the import goes on when some have ended, and no attempt is spent on the wait"
        ),
        retry_after: Some(wait),
        postponed: true,
    }
}

/// More interim answers than any origin has use for.
pub(super) fn interim_flood(url: &Url) -> Failure {
    let detail = format!("{} sends interim answers without end", redact_url(url));
    Failure::new(FailureCode::InvalidResponse, detail)
}

/// There is no connection.
pub(super) fn of_connect(url: &Url, error: &ConnectError) -> Failure {
    let host = url.host_str().unwrap_or_default();
    match error {
        ConnectError::Dial(DialError::Denied(verdict)) => denied(url, verdict),
        ConnectError::Dial(DialError::Unresolved(_)) => Failure::new(
            FailureCode::DnsFailed,
            format!(
                "the name {host} did not resolve to an address that may be reached; check its spelling"
            ),
        ),
        ConnectError::Dial(DialError::Refused(error))
            if error.kind() != io::ErrorKind::TimedOut =>
        {
            let reason = reason_of(error);
            let detail = format!("no connection to {host}: {reason}");
            Failure::new(FailureCode::ConnectFailed, detail)
        }
        ConnectError::Dial(DialError::Refused(_)) | ConnectError::TimedOut => Failure::new(
            FailureCode::ConnectTimeout,
            format!("{host} did not take the connection in time"),
        ),
        ConnectError::Tls(error) => {
            match causes(error).find_map(|e| e.downcast_ref::<rustls::Error>()) {
                Some(tls) => Failure::new(
                    FailureCode::TlsFailed,
                    format!("no secure connection to {host}: {tls}"),
                ),
                // Broken off rather than refused.
                None => Failure::new(
                    FailureCode::ConnectFailed,
                    format!("no secure connection to {host}: the handshake broke off"),
                ),
            }
        }
        ConnectError::Http(_) => Failure::new(
            FailureCode::ConnectFailed,
            format!("no connection to {host}: it cannot be used"),
        ),
    }
}

/// The request brought no answer.
pub(super) fn of_request(url: &Url, error: &hyper::Error) -> Failure {
    let url = redact_url(url);
    let mut found = causes(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>());
    if found.any(|error| error.is_parse() || is_nameless(error)) {
        let detail = format!("{url} answered with something that is not HTTP");
        return Failure::new(FailureCode::InvalidResponse, detail);
    }
    let detail = format!("{url} closed the connection without an answer");
    Failure::new(FailureCode::ConnectionLost, detail)
}

/// Whether bytes came that nobody had asked for: before a request, or after an answer. hyper has no name
/// for that.
pub(super) fn is_nameless(error: &hyper::Error) -> bool {
    let named = error.is_canceled() || error.is_closed() || error.is_incomplete_message();
    !named && !error.is_parse() && error.source().is_none()
}

/// More came than the answer said.
pub(super) fn excess(url: &Url) -> Failure {
    let detail = format!(
        "{} sent more bytes than it said; the origin has to be set right",
        redact_url(url)
    );
    Failure::new(FailureCode::InvalidResponse, detail)
}

/// The origin names several lengths, or one that is no number.
pub(super) fn bad_length(url: &Url) -> Failure {
    let detail = format!(
        "{} does not say clearly how many bytes it sends; the origin has to be set right",
        redact_url(url)
    );
    Failure::new(FailureCode::InvalidResponse, detail)
}

/// The body broke off.
pub(super) fn of_body(url: &Url, error: &hyper::Error) -> Failure {
    let url = redact_url(url);
    let broken = || {
        let detail = format!("the connection to {url} broke before all bytes had come");
        Failure::new(FailureCode::ConnectionLost, detail)
    };
    if causes(error).any(<dyn Error>::is::<rustls::Error>) {
        return broken();
    }
    let kind = causes(error)
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .last()
        .map(io::Error::kind);
    match kind {
        // How hyper reports chunks that are none.
        Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => Failure::new(
            FailureCode::InvalidResponse,
            format!("{url} sent a body that is not valid HTTP"),
        ),
        Some(io::ErrorKind::UnexpectedEof) => Failure::new(
            FailureCode::IncompleteBody,
            format!("{url} ended its answer before all bytes had come"),
        ),
        _ => broken(),
    }
}

/// The bytes end before their end.
pub(super) fn incomplete(url: &Url) -> Failure {
    let detail = format!(
        "{} ended its answer before all bytes had come",
        redact_url(url)
    );
    Failure::new(FailureCode::IncompleteBody, detail)
}

/// The answer is no success.
pub(super) fn of_status(url: &Url, status: StatusCode, headers: &HeaderMap) -> Failure {
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
        retry_after: retry_after(headers),
        postponed: false,
    }
}

/// `Retry-After`: seconds or a date (RFC 9110 §10.2.3).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?;
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

/// An error and what caused it. An I/O error passes over the error that it wraps when it is asked for
/// its source, so that is looked for first.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    match error
        .downcast_ref::<io::Error>()
        .and_then(io::Error::get_ref)
    {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
