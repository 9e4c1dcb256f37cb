//! Failures of imports: a stable code for programs, a sentence for people.

use std::{fmt, time::Duration};

/// The stable code of a failed attempt: a job's `error`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureCode {
    /// The stored arguments cannot be read by this program.
    InvalidArguments,
    /// The URL, or a redirect, names a scheme other than http and https.
    UnsupportedScheme,
    /// The address or port is not one that this service may reach.
    EgressBlocked,
    /// The host's name did not resolve.
    DnsFailed,
    /// No connection could be made.
    ConnectFailed,
    /// The connection was not made in time.
    ConnectTimeout,
    /// The TLS handshake failed.
    TlsFailed,
    /// No answer came in time.
    ResponseTimeout,
    /// The answer's bytes stopped coming.
    Stalled,
    /// The answer's bytes came too slowly to wait for.
    TooSlow,
    /// The whole import took too long.
    TotalTimeout,
    /// The connection broke while the answer was under way.
    ConnectionLost,
    /// The answer was shorter than it said.
    IncompleteBody,
    /// The answer was not HTTP.
    InvalidResponse,
    /// The answer came in a content coding that was not asked for.
    UnsupportedEncoding,
    /// More redirects than are followed, or one without a usable target.
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
    /// Any other 4xx from the origin, or an answer that is no success.
    OriginRefused,
    /// 5xx from the origin.
    OriginError,
    /// Larger than allowed.
    TooLarge,
    /// Not of a type that the client accepts.
    TypeNotAllowed,
    /// Not of the size that the client gave.
    SizeMismatch,
    /// Not of the digest that the client gave.
    ChecksumMismatch,
    /// Larger than the rest of the project's quota.
    QuotaExceeded,
    /// The media at the path belongs to another creator, which this one may not replace.
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
    /// Every code, for documentation and tests.
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

    /// The code as clients see and filter it.
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

    /// Whether another attempt might succeed where this one failed.
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
    /// A sentence for the client: the event, the place, and the remedy. Never an address that DNS gave, a credential
    /// or an internal name.
    pub detail: String,
    /// The time until the origin takes requests again (`Retry-After`).
    pub retry_after: Option<Duration>,
    /// Whether the origin was not asked because it is in back-off for that long: no attempt is spent.
    pub postponed: bool,
}

impl Failure {
    /// A failure after which the origin did not say when to try again.
    pub fn new(code: FailureCode, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            retry_after: None,
            postponed: false,
        }
    }
}
