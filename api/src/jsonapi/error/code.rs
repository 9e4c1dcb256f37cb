//! The table of error codes.

use poem::http::StatusCode;

/// Defines the codes from their table: meaning, name, code on the wire, HTTP status and title.
macro_rules! error_codes {
    ($($(#[$meaning:meta])* $name:ident: $code:literal, $status:ident, $title:literal;)*) => {
        /// The stable code of an error, for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum ErrorCode {
            $($(#[$meaning])* $name,)*
        }

        impl ErrorCode {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code on the wire.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// The HTTP status that goes with it.
            pub fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// The title, for people.
            pub fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

error_codes! {
    /// There is no such route, job or media.
    NotFound: "not_found", NOT_FOUND, "Not found";
    /// The request needs a token and has none.
    Unauthenticated: "unauthenticated", UNAUTHORIZED, "Unauthenticated";
    /// The token's scope does not allow this.
    InsufficientScope: "insufficient_scope", FORBIDDEN, "Insufficient scope";
    /// The caller is not allowed to do this, or not from this origin.
    Forbidden: "forbidden", FORBIDDEN, "Forbidden";
    /// The token is invalid.
    InvalidToken: "invalid_token", UNAUTHORIZED, "Invalid token";
    /// The link was not signed here, or was changed.
    InvalidLink: "invalid_link", FORBIDDEN, "Invalid link";
    /// The link has expired.
    LinkExpired: "link_expired", FORBIDDEN, "Link expired";
    /// The project would exceed its quota.
    // RFC 4331 §6.
    QuotaExceeded: "quota_exceeded", INSUFFICIENT_STORAGE, "Quota exceeded";
    /// The project has reached its limit of unfinished jobs.
    TooManyJobs: "too_many_jobs", TOO_MANY_REQUESTS, "Too many jobs";
    /// The caller makes too many requests.
    RateLimited: "rate_limited", TOO_MANY_REQUESTS, "Too many requests";
    /// The caller has too many requests, event streams or uploads in progress.
    TooManyAtOnce: "too_many_at_once", TOO_MANY_REQUESTS, "Too many at once";
    /// The headers are too large.
    // RFC 6585 §5.
    HeadersTooLarge: "headers_too_large", REQUEST_HEADER_FIELDS_TOO_LARGE, "Headers too large";
    /// Path and query are too long.
    UriTooLong: "uri_too_long", URI_TOO_LONG, "URI too long";
    /// The route does not support this method.
    MethodNotAllowed: "method_not_allowed", METHOD_NOT_ALLOWED, "Method not allowed";
    /// The client accepts no type that the route can send.
    NotAcceptable: "not_acceptable", NOT_ACCEPTABLE, "Not acceptable";
    /// The route does not accept the type of the body.
    UnsupportedMediaType: "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "Unsupported media type";
    /// The body does not parse as its Content-Type.
    MalformedBody: "malformed_body", BAD_REQUEST, "Malformed body";
    /// The body ended before it was complete.
    IncompleteBody: "incomplete_body", BAD_REQUEST, "Incomplete body";
    /// The body, or the media in it, is too large.
    TooLarge: "too_large", PAYLOAD_TOO_LARGE, "Too large";
    /// The query has a parameter that the route does not know.
    UnknownParameter: "unknown_parameter", BAD_REQUEST, "Unknown parameter";
    /// A value is not accepted.
    InvalidValue: "invalid_value", UNPROCESSABLE_ENTITY, "Invalid value";
    /// The number of bytes differs from the announced one.
    SizeMismatch: "size_mismatch", UNPROCESSABLE_ENTITY, "Size mismatch";
    /// The checksum of the bytes differs from the announced one.
    ChecksumMismatch: "checksum_mismatch", UNPROCESSABLE_ENTITY, "Checksum mismatch";
    /// No byte arrived for too long.
    Stalled: "stalled", REQUEST_TIMEOUT, "Request stalled";
    /// The requested range lies outside the media.
    RangeNotSatisfiable: "range_not_satisfiable", RANGE_NOT_SATISFIABLE, "Range not satisfiable";
    /// `If-Match` or `If-Unmodified-Since` does not hold.
    PreconditionFailed: "precondition_failed", PRECONDITION_FAILED, "Precondition failed";
    /// `Expect` asks for something other than `100-continue`.
    ExpectationFailed: "expectation_failed", EXPECTATION_FAILED, "Expectation failed";
    /// The request cannot be understood.
    BadRequest: "bad_request", BAD_REQUEST, "Bad request";
    /// The document is of another type or about another resource than the path, or the path is ambiguous.
    Conflict: "conflict", CONFLICT, "Conflict";
    /// The status of the job does not allow the signal.
    SignalRefused: "signal_refused", CONFLICT, "Signal refused";
    /// Only a waiting job can be changed.
    NotWaiting: "not_waiting", CONFLICT, "Job not waiting";
    /// Another unfinished job holds the same unicity.
    UnicityTaken: "unicity_taken", CONFLICT, "Unicity taken";
    /// The operator has set no key to sign links with.
    LinksNotConfigured: "links_not_configured", CONFLICT, "Links not configured";
    /// The job cannot be retried: its password, query values or headers were removed when it ended.
    SecretsRemoved: "secrets_removed", CONFLICT, "Secrets removed";
    /// The service cannot answer at the moment; a retry may succeed.
    Unavailable: "unavailable", SERVICE_UNAVAILABLE, "Service unavailable";
    /// A list took too long to read.
    QueryTimeout: "query_timeout", SERVICE_UNAVAILABLE, "Query timeout";
    /// The storage or the database has no space left.
    StorageFull: "storage_full", INSUFFICIENT_STORAGE, "Storage full";
    /// A defect of this service.
    Internal: "internal", INTERNAL_SERVER_ERROR, "Internal error";
}
