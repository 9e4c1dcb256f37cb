//! The headers of range requests and their responses (RFC 9110 §14).

use std::ops::Range;

use chrono::{DateTime, Utc};

use super::request::Request;

/// Formats a time for a header (RFC 9110 §5.6.7).
pub fn http_date(time: DateTime<Utc>) -> String {
    time.format("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Returns the head of a response. Each extra header ends with a line break.
pub(super) fn response_head(status: u16, length: u64, headers: &str) -> String {
    let date = http_date(Utc::now());
    format!(
        "HTTP/1.1 {status} Test\r\nDate: {date}\r\nContent-Length: {length}\r\n\
         Content-Type: application/octet-stream\r\n{headers}Connection: close\r\n\r\n"
    )
}

/// Returns the header `Content-Range` with its line break.
pub(super) fn content_range(range: &Range<u64>, size: u64) -> String {
    format!(
        "Content-Range: bytes {}-{}/{size}\r\n",
        range.start,
        range.end - 1
    )
}

/// Returns the range that a request asks for as `a-b` or `a-`. Servers may ignore every other form, and this one
/// does.
pub(super) fn requested_range(request: &Request, size: u64) -> Option<Range<u64>> {
    let (first, last) = request
        .header("Range")?
        .strip_prefix("bytes=")?
        .split_once('-')?;
    let start = first.parse().ok()?;
    let end = match last {
        "" => size,
        last => last.parse::<u64>().ok()?.saturating_add(1).min(size),
    };
    // A range that begins after its own end is invalid; one that begins after the end of the file is valid
    // and unsatisfiable.
    (start < end || start >= size).then_some(start..end)
}
