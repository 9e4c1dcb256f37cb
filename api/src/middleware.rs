//! Middleware: each is a function that wraps an endpoint.

mod caller_key;
pub(crate) mod canonical_path;
pub(crate) mod compression;
pub(crate) mod cors;
pub(crate) mod error_documents;
pub(crate) mod head_limits;
pub(crate) mod negotiation;
pub(crate) mod origin_guard;
pub(crate) mod rate_limit;
mod request_id;
pub(crate) mod request_limits;
pub(crate) mod request_telemetry;
pub(crate) mod security_headers;
