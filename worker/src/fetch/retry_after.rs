//! The header `Retry-After`.

use std::time::Duration;

use hyper::{HeaderMap, header};
use media_shared::clock::Clock;
use parse_net::date::http_date;

/// Parses `Retry-After`: seconds, or a date in the future (RFC 9110 §10.2.3).
pub(super) fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?;
    if let Ok(seconds) = value.to_str().ok()?.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = http_date(value.as_bytes()).ok()?;
    let wait = date.unix() - Clock::system().now().timestamp();
    u64::try_from(wait).ok().map(Duration::from_secs)
}
