//! Checks of attributes that several operations share.

use chrono::{DateTime, Datelike as _, Utc};
use media_domain::{
    caller::{Caller, Principal, Role},
    job::Priority,
};
use poem_openapi::Enum;
use serde::Deserialize;

use crate::jsonapi::{ApiError, ErrorCode};

/// The years that a job can be scheduled in: those that RFC 3339 can write.
const YEARS: std::ops::RangeInclusive<i32> = 1970..=9999;

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

/// Collects the faults of attributes, to report all at once.
pub(super) struct AttributeFaults {
    found: Vec<(String, String)>,
    max_priority: Priority,
}

impl AttributeFaults {
    /// Starts without faults. `max_priority` is the highest that the caller may give.
    pub(super) fn new(max_priority: Priority) -> Self {
        Self {
            found: Vec::new(),
            max_priority,
        }
    }

    /// Adds a fault of an attribute.
    pub(super) fn add(&mut self, name: &str, detail: impl std::fmt::Display) {
        self.found.push((
            format!("/data/attributes/{name}"),
            format!("`{name}` {detail}"),
        ));
    }

    /// Checks a priority.
    pub(super) fn priority(&mut self, number: i64) -> Priority {
        let allowed = Priority::new(number).filter(|priority| *priority <= self.max_priority);
        allowed.unwrap_or_else(|| {
            let max = self.max_priority.get();
            self.add("priority", format!("must be -100 to {max} for this caller"));
            Priority::default()
        })
    }

    /// Checks a time.
    pub(super) fn time(&mut self, name: &str, time: DateTime<Utc>) {
        if !YEARS.contains(&time.year()) {
            self.add(name, "must lie between 1970 and 9999");
        }
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The error that reports all faults; there is at least one.
    pub(super) fn into_error(self) -> ApiError {
        ApiError::at_pointers(ErrorCode::InvalidValue, self.found)
    }
}
