//! Failures of imports: a stable code for programs and a sentence for people.

use std::{fmt, time::Duration};

/// The stable code of a failed attempt: a job's `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureCode {
    /// The stored arguments cannot be read by this program.
    InvalidArguments,
    /// The scheme of the URL or of a redirect is neither http nor https.
    UnsupportedScheme,
    /// The service is not allowed to connect to the address or port.
    EgressBlocked,
    /// The host name could not be resolved.
    DnsFailed,
    /// The connection could not be established.
    ConnectFailed,
    /// The connection was not established in time.
    ConnectTimeout,
    /// The TLS handshake failed.
    TlsFailed,
    /// No response was received in time.
    ResponseTimeout,
    /// The response body stalled.
    Stalled,
    /// The transfer of the response body was too slow.
    TooSlow,
    /// The whole import took too long.
    TotalTimeout,
    /// The connection was lost during the response.
    ConnectionLost,
    /// The response body was shorter than its announced length.
    IncompleteBody,
    /// The response was not valid HTTP.
    InvalidResponse,
    /// The response has a content coding that was not requested.
    UnsupportedEncoding,
    /// Too many redirects, or one without a usable target.
    BadRedirect,
    /// 404 from the origin.
    OriginNotFound,
    /// 410 from the origin.
    OriginGone,
    /// 401 from the origin.
    OriginUnauthorized,
    /// 403 from the origin.
    OriginForbidden,
    /// 408, 425 or 429 from the origin.
    OriginBusy,
    /// Any other 4xx from the origin, or any other unsuccessful status.
    OriginRefused,
    /// 5xx from the origin.
    OriginError,
    /// The media is larger than allowed.
    TooLarge,
    /// The media type is not accepted by the client.
    TypeNotAllowed,
    /// The size differs from the one that the client specified.
    SizeMismatch,
    /// The digest differs from the one that the client specified.
    ChecksumMismatch,
    /// The media would exceed the project's quota.
    QuotaExceeded,
    /// The media at the path has another creator, and this one is not allowed to replace it.
    OverwriteDenied,
    /// There is a media at the path already, and the client asked for a failure then.
    AlreadyExists,
    /// The bytes could not be stored.
    StorageFailed,
    /// The worker died or lost its lease.
    WorkerLost,
    /// A defect of this service.
    Internal,
}

impl FailureCode {
    /// All codes, for documentation and tests.
    pub const ALL: [Self; 33] = [
        Self::InvalidArguments,
        Self::UnsupportedScheme,
        Self::EgressBlocked,
        Self::DnsFailed,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::TlsFailed,
        Self::ResponseTimeout,
        Self::Stalled,
        Self::TooSlow,
        Self::TotalTimeout,
        Self::ConnectionLost,
        Self::IncompleteBody,
        Self::InvalidResponse,
        Self::UnsupportedEncoding,
        Self::BadRedirect,
        Self::OriginNotFound,
        Self::OriginGone,
        Self::OriginUnauthorized,
        Self::OriginForbidden,
        Self::OriginBusy,
        Self::OriginRefused,
        Self::OriginError,
        Self::TooLarge,
        Self::TypeNotAllowed,
        Self::SizeMismatch,
        Self::ChecksumMismatch,
        Self::QuotaExceeded,
        Self::OverwriteDenied,
        Self::AlreadyExists,
        Self::StorageFailed,
        Self::WorkerLost,
        Self::Internal,
    ];

    /// The code on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArguments => "invalid_arguments",
            Self::UnsupportedScheme => "unsupported_scheme",
            Self::EgressBlocked => "egress_blocked",
            Self::DnsFailed => "dns_failed",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::TlsFailed => "tls_failed",
            Self::ResponseTimeout => "response_timeout",
            Self::Stalled => "stalled",
            Self::TooSlow => "too_slow",
            Self::TotalTimeout => "total_timeout",
            Self::ConnectionLost => "connection_lost",
            Self::IncompleteBody => "incomplete_body",
            Self::InvalidResponse => "invalid_response",
            Self::UnsupportedEncoding => "unsupported_encoding",
            Self::BadRedirect => "bad_redirect",
            Self::OriginNotFound => "origin_not_found",
            Self::OriginGone => "origin_gone",
            Self::OriginUnauthorized => "origin_unauthorized",
            Self::OriginForbidden => "origin_forbidden",
            Self::OriginBusy => "origin_busy",
            Self::OriginRefused => "origin_refused",
            Self::OriginError => "origin_error",
            Self::TooLarge => "too_large",
            Self::TypeNotAllowed => "type_not_allowed",
            Self::SizeMismatch => "size_mismatch",
            Self::ChecksumMismatch => "checksum_mismatch",
            Self::QuotaExceeded => "quota_exceeded",
            Self::OverwriteDenied => "overwrite_denied",
            Self::AlreadyExists => "already_exists",
            Self::StorageFailed => "storage_failed",
            Self::WorkerLost => "worker_lost",
            Self::Internal => "internal",
        }
    }

    /// Whether another attempt might succeed.
    pub fn is_retryable(self) -> bool {
        match self {
            Self::DnsFailed
            | Self::ConnectFailed
            | Self::ConnectTimeout
            | Self::ResponseTimeout
            | Self::Stalled
            | Self::TooSlow
            | Self::TotalTimeout
            | Self::ConnectionLost
            | Self::IncompleteBody
            | Self::InvalidResponse
            | Self::OriginBusy
            | Self::OriginError
            | Self::StorageFailed
            | Self::WorkerLost
            | Self::Internal => true,
            Self::InvalidArguments
            | Self::UnsupportedScheme
            | Self::EgressBlocked
            | Self::TlsFailed
            | Self::UnsupportedEncoding
            | Self::BadRedirect
            | Self::OriginNotFound
            | Self::OriginGone
            | Self::OriginUnauthorized
            | Self::OriginForbidden
            | Self::OriginRefused
            | Self::TooLarge
            | Self::TypeNotAllowed
            | Self::SizeMismatch
            | Self::ChecksumMismatch
            | Self::QuotaExceeded
            | Self::OverwriteDenied
            | Self::AlreadyExists => false,
        }
    }
}

impl fmt::Display for FailureCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The failure of an attempt.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {detail}")]
pub struct Failure {
    /// The stable code.
    pub code: FailureCode,
    /// A sentence for the client: the event, the place and the remedy. Never contains an address returned by DNS, a
    /// credential or an internal name.
    pub detail: String,
    /// The delay of the next attempt.
    pub delay: RetryDelay,
}

/// The delay of the attempt after a failed one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RetryDelay {
    /// Back-off by the number of retries.
    #[default]
    Backoff,
    /// Back-off, but no less than the origin asks for (`Retry-After`).
    AtLeast(Duration),
    /// The origin is in back-off for this long and was not asked: no attempt is spent.
    Postponed(Duration),
}

impl Failure {
    /// A failure without a `Retry-After`.
    pub fn new(code: FailureCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            delay: RetryDelay::Backoff,
        }
    }
}
