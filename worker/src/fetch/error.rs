//! Errors of fetching and their stable codes.

use std::{error::Error, io, time::Duration};

use hyper::{HeaderMap, StatusCode};
use media_shared::job::FailureCode;
use url::Url;

use super::retry_after::retry_after;
use crate::egress::{DialError, EgressDenied};

/// Why an exchange with an origin failed. The message is a predicate whose subject is the URL.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExchangeError {
    #[error("is refused: {0}")]
    Denied(EgressDenied),
    #[error(
        "has a host name that does not resolve to an address that may be reached; check its spelling"
    )]
    Unresolved,
    #[error("cannot be connected to: {0}")]
    NotConnected(&'static str),
    #[error("did not accept the connection in time")]
    ConnectTimeout,
    #[error("offers no secure connection: {0}")]
    Tls(rustls::Error),
    #[error("cannot be sent in a request")]
    Unsendable,
    /// The host asked for a pause, which lasts this much longer.
    #[error(
        "is on a host that asks all clients to wait; the import goes on when the host may be asked again, and the wait uses no attempt"
    )]
    HostBackoff(Duration),
    /// All connections to the host are in use; try again after this delay.
    #[error(
        "is on a host to which all connections that MEDIA_FETCH_CONNECTIONS allows are in use; the import goes on when some have ended, and the wait uses no attempt"
    )]
    ConnectionLimit(Duration),
    #[error("did not answer within {0:?}")]
    ResponseTimeout(Duration),
    #[error("closed the connection without an answer")]
    NoAnswer,
    #[error("answered with something that is not HTTP")]
    NotHttp,
    #[error("sends interim responses without end")]
    InterimFlood,
    #[error("answered {status}; {}", advice(*status))]
    Status {
        status: StatusCode,
        retry_after: Option<Duration>,
    },
    #[error("redirects {0}")]
    BadRedirect(&'static str),
    #[error("was redirected more than {0} times; give the URL that the redirects lead to")]
    TooManyRedirects(usize),
    #[error("does not say clearly how many bytes it sends; the origin has to be fixed")]
    AmbiguousLength,
    #[error(
        "sent its bytes in the coding `{0}`, which is not supported, though only `identity` was asked for; the origin has to be fixed"
    )]
    UnsupportedCoding(String),
    #[error("sent bytes that are not in the content coding that its answer names")]
    InvalidCoding,
    #[error("ended its answer before all bytes of its content coding had come")]
    IncompleteCoding,
    /// The decoded bytes are more than this many times as large as the coded ones.
    #[error(
        "sent bytes in a content coding that expands them more than {0} times; the origin has to send them without it"
    )]
    ExcessiveExpansion(u64),
    #[error("sent bytes in a content coding that decode to hardly any")]
    ExcessiveOverhead,
    #[error("sent no byte for {0:?}")]
    Stalled(Duration),
    #[error("sent hardly a byte for {0:?}")]
    TooSlow(Duration),
    #[error("closed the connection before all bytes had come")]
    ConnectionLost,
    #[error("ended its answer before all bytes had come")]
    Incomplete,
    #[error("sent a body that is not valid HTTP")]
    InvalidBody,
    #[error("sent more bytes than it announced; the origin has to be fixed")]
    ExcessBytes,
}

/// A failed exchange, and the URL that it was with, after redirects.
pub(crate) struct FetchFailure {
    pub(crate) url: Box<Url>,
    pub(crate) error: ExchangeError,
    /// Whether no request was sent because of the host's limits: then no attempt is spent.
    pub(crate) is_postponed: bool,
}

impl FetchFailure {
    pub(super) fn new(url: &Url, error: ExchangeError) -> Self {
        Self {
            url: Box::new(url.clone()),
            is_postponed: matches!(
                error,
                ExchangeError::HostBackoff(_) | ExchangeError::ConnectionLimit(_)
            ),
            error,
        }
    }

    /// Whether a new connection may help.
    pub(super) fn is_connection_failure(&self) -> bool {
        matches!(
            self.error.code(),
            FailureCode::ConnectionLost
                | FailureCode::IncompleteBody
                | FailureCode::Stalled
                | FailureCode::ConnectFailed
                | FailureCode::ConnectTimeout
                | FailureCode::ResponseTimeout
        )
    }
}

impl ExchangeError {
    /// Returns the stable code, as it stands in a job's `error`.
    pub(crate) fn code(&self) -> FailureCode {
        match self {
            Self::Denied(EgressDenied::Scheme) => FailureCode::UnsupportedScheme,
            Self::Denied(_) => FailureCode::EgressBlocked,
            Self::Unresolved => FailureCode::DnsFailed,
            Self::NotConnected(_) => FailureCode::ConnectFailed,
            Self::ConnectTimeout => FailureCode::ConnectTimeout,
            Self::Tls(_) => FailureCode::TlsFailed,
            Self::Unsendable => FailureCode::InvalidArguments,
            Self::HostBackoff(_) | Self::ConnectionLimit(_) => FailureCode::OriginBusy,
            Self::ResponseTimeout(_) => FailureCode::ResponseTimeout,
            Self::NoAnswer | Self::ConnectionLost => FailureCode::ConnectionLost,
            Self::NotHttp
            | Self::InterimFlood
            | Self::AmbiguousLength
            | Self::InvalidCoding
            | Self::ExcessiveOverhead
            | Self::InvalidBody
            | Self::ExcessBytes => FailureCode::InvalidResponse,
            Self::Status { status, .. } => code_of_status(*status),
            Self::BadRedirect(_) | Self::TooManyRedirects(_) => FailureCode::BadRedirect,
            Self::UnsupportedCoding(_) => FailureCode::UnsupportedEncoding,
            Self::IncompleteCoding | Self::Incomplete => FailureCode::IncompleteBody,
            Self::ExcessiveExpansion(_) => FailureCode::TooLarge,
            Self::Stalled(_) => FailureCode::Stalled,
            Self::TooSlow(_) => FailureCode::TooSlow,
        }
    }

    /// Returns the delay that the origin or the host's limits ask for.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::HostBackoff(wait) | Self::ConnectionLimit(wait) => Some(*wait),
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// An answer whose status is not a success.
    pub(super) fn from_status(status: StatusCode, headers: &HeaderMap) -> Self {
        Self::Status {
            status,
            retry_after: retry_after(headers),
        }
    }

    /// A failed TLS handshake.
    pub(super) fn from_tls(error: &io::Error) -> Self {
        match causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
            Some(tls) => Self::Tls(tls.clone()),
            None => Self::NotConnected("the TLS handshake broke off"),
        }
    }

    /// A request without an answer.
    pub(super) fn from_request(error: &hyper::Error) -> Self {
        let mut found = causes(error).filter_map(|cause| cause.downcast_ref::<hyper::Error>());
        if found.any(|error| error.is_parse() || is_unexpected_data(error)) {
            Self::NotHttp
        } else {
            Self::NoAnswer
        }
    }

    /// A body that broke off.
    pub(super) fn from_body(error: &hyper::Error) -> Self {
        if causes(error).any(<dyn Error>::is::<rustls::Error>) {
            return Self::ConnectionLost;
        }
        let kind = causes(error)
            .filter_map(|cause| cause.downcast_ref::<io::Error>())
            .last()
            .map(io::Error::kind);
        match kind {
            // hyper reports invalid chunks so.
            Some(io::ErrorKind::InvalidData | io::ErrorKind::InvalidInput) => Self::InvalidBody,
            Some(io::ErrorKind::UnexpectedEof) => Self::Incomplete,
            _ => Self::ConnectionLost,
        }
    }
}

impl From<DialError> for ExchangeError {
    fn from(error: DialError) -> Self {
        match error {
            DialError::Denied(denied) => Self::Denied(denied),
            DialError::Unresolved(_) => Self::Unresolved,
            DialError::Refused(error) => match error.kind() {
                io::ErrorKind::TimedOut => Self::ConnectTimeout,
                io::ErrorKind::ConnectionRefused => Self::NotConnected("it was refused"),
                io::ErrorKind::ConnectionReset => Self::NotConnected("it was reset"),
                io::ErrorKind::HostUnreachable => Self::NotConnected("the host cannot be reached"),
                io::ErrorKind::NetworkUnreachable => {
                    Self::NotConnected("the network cannot be reached")
                }
                _ => Self::NotConnected("it failed"),
            },
        }
    }
}

/// Whether bytes came before a request or after an answer. hyper has no predicate for this error.
pub(super) fn is_unexpected_data(error: &hyper::Error) -> bool {
    let is_named = error.is_canceled() || error.is_closed() || error.is_incomplete_message();
    !is_named && !error.is_parse() && error.source().is_none()
}

fn code_of_status(status: StatusCode) -> FailureCode {
    match status {
        StatusCode::NOT_FOUND => FailureCode::OriginNotFound,
        StatusCode::GONE => FailureCode::OriginGone,
        StatusCode::UNAUTHORIZED => FailureCode::OriginUnauthorized,
        StatusCode::FORBIDDEN => FailureCode::OriginForbidden,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            FailureCode::OriginBusy
        }
        status if status.is_server_error() => FailureCode::OriginError,
        _ => FailureCode::OriginRefused,
    }
}

fn advice(status: StatusCode) -> &'static str {
    match code_of_status(status) {
        FailureCode::OriginNotFound => "check the URL",
        FailureCode::OriginGone => "the file was removed there",
        FailureCode::OriginUnauthorized => "pass credentials in the argument `headers`",
        FailureCode::OriginForbidden => {
            "a signed link may have expired, or credentials may be missing"
        }
        FailureCode::OriginBusy => "the origin asks clients to wait",
        FailureCode::OriginError => "the fault is at the origin",
        _ => "only an answer with status 200 brings the file",
    }
}

/// Returns an error and its causes. An I/O error leaves the error that it wraps out of its sources, so that is
/// looked up first.
fn causes<'e>(error: &'e (dyn Error + 'static)) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| cause(*error))
}

fn cause<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e (dyn Error + 'static)> {
    let io_error = error.downcast_ref::<io::Error>();
    match io_error.and_then(io::Error::get_ref) {
        Some(wrapped) => Some(wrapped),
        None => error.source(),
    }
}
