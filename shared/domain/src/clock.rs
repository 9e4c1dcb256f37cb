//! Times of the service: UTC, in whole microseconds.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, Utc};

/// The clock of the repositories: the system clock, or a clock controlled by a test.
///
/// Leases compare times written by several machines, so their clocks must agree to within a fraction of the lease
/// (NTP is far more precise).
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>);

impl Clock {
    /// The system clock.
    pub fn system() -> Self {
        Self(Arc::new(Utc::now))
    }

    /// A clock that returns the result of `now`, for tests.
    pub fn from_fn(now: impl Fn() -> DateTime<Utc> + Send + Sync + 'static) -> Self {
        Self(Arc::new(now))
    }

    /// The current time, truncated to microseconds, which both databases store without loss.
    pub fn now(&self) -> DateTime<Utc> {
        to_micros((self.0)())
    }
}

impl std::fmt::Debug for Clock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Clock")
    }
}

/// Truncates a time to microseconds.
pub fn to_micros(time: DateTime<Utc>) -> DateTime<Utc> {
    time.trunc_subsecs(6)
}

/// Formats a time for the API: RFC 3339 in UTC with exactly six fractional digits.
pub fn to_rfc3339(time: DateTime<Utc>) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Micros, true)
}
