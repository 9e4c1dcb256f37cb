//! The checks of attributes that several operations share.

use chrono::{DateTime, Datelike as _, Utc};
use media_domain::{
    caller::{Caller, Principal, Role},
    job::Priority,
};
use poem_openapi::Enum;
use serde::Deserialize;

use crate::jsonapi::{ApiError, ErrorCode, Fault};

/// The years that a job can be scheduled in. RFC 3339 has no later ones.
const SCHEDULE_YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;

/// The type of jobs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
pub(super) enum JobType {
    /// The only value.
    #[oai(rename = "media:jobs")]
    #[serde(rename = "media:jobs")]
    Jobs,
}

/// The highest priority that a caller may give to a job.
pub(super) fn max_priority(caller: &Caller, user_max_priority: Priority) -> Priority {
    match caller {
        Caller::Authenticated(Principal {
            role: Role::User, ..
        }) => user_max_priority,
        _ => Priority::HIGHEST,
    }
}

/// Collects the faults of attributes, to report all of them in one answer.
pub(super) struct AttributeFaults {
    found: Vec<Fault>,
    max_priority: Priority,
}

impl AttributeFaults {
    /// Creates an empty collection. `max_priority` is the caller's highest priority.
    pub(super) fn new(max_priority: Priority) -> Self {
        Self {
            found: Vec::new(),
            max_priority,
        }
    }

    /// Adds a fault of an attribute.
    pub(super) fn add(&mut self, name: &str, detail: impl std::fmt::Display) {
        let pointer = format!("/data/attributes/{name}");
        let detail = format!("`{name}` {detail}");
        self.found.push(Fault::at_pointer(pointer, detail));
    }

    /// Checks a priority. Returns the default if it is not valid.
    pub(super) fn priority(&mut self, number: i64) -> Priority {
        let priority = Priority::new(number).ok();
        let allowed = priority.filter(|priority| *priority <= self.max_priority);
        allowed.unwrap_or_else(|| {
            let (min, max) = (Priority::MIN, self.max_priority.get());
            self.add(
                "priority",
                format!("must be {min} to {max} for this caller"),
            );
            Priority::default()
        })
    }

    /// Checks the year of a time.
    pub(super) fn time(&mut self, name: &str, time: DateTime<Utc>) {
        if !SCHEDULE_YEARS.contains(&time.year()) {
            self.add(name, "must lie between 1970 and 9999");
        }
    }

    /// Returns the checked value. If there are faults, fails with an error that reports all of them.
    pub(super) fn finish<T>(self, checked: Option<T>) -> Result<T, ApiError> {
        checked
            .filter(|_| self.found.is_empty())
            .ok_or_else(|| ApiError::with_faults(ErrorCode::InvalidValue, self.found))
    }
}
