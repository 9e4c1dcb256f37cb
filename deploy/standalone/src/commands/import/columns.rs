//! The columns of lists of imports and of their reports.

/// The columns of a list, which are the names of arguments and attributes of `POST /jobs`.
pub(super) const LIST_COLUMNS: [&str; 19] = [
    "url",
    "resource",
    "key",
    "filename",
    "public",
    "sha256",
    "md5",
    "size",
    "meta",
    "expires_at",
    "if_exists",
    "headers",
    "max_bytes",
    "accept_types",
    "priority",
    "unicity",
    "scheduled_at",
    "max_retries",
    "project_id",
];
/// The columns of a report.
pub(super) const REPORT_COLUMNS: [&str; 11] = [
    "line",
    "url",
    "resource",
    "key",
    "job_id",
    "status",
    "error",
    "error_detail",
    "size",
    "sha256",
    "mime_type",
];
