//! A job to be created.

use chrono::{DateTime, Utc};
use media_domain::{
    caller::Creator,
    job::{JobClass, Priority, RetryCount, Unicity},
};

/// A job to be created.
#[derive(Clone, Debug)]
pub struct NewJob {
    pub(super) job_class: &'static str,
    pub(super) arguments_version: i16,
    pub(super) arguments: serde_json::Value,
    pub(super) max_retries: RetryCount,
    pub(super) priority: Priority,
    pub(super) unicity: Option<Unicity>,
    pub(super) scheduled_at: Option<DateTime<Utc>>,
    pub(super) creator: Creator,
}

impl NewJob {
    /// A job of a class, with the defaults of the class.
    pub fn new<C: JobClass>(arguments: &C::Arguments) -> Result<Self, serde_json::Error> {
        Ok(Self {
            job_class: C::NAME,
            arguments_version: C::ARGUMENTS_VERSION,
            arguments: serde_json::to_value(arguments)?,
            max_retries: C::MAX_RETRIES,
            priority: Priority::default(),
            unicity: None,
            scheduled_at: None,
            creator: Creator::default(),
        })
    }

    /// Sets the priority.
    #[must_use]
    pub fn priority(self, priority: Priority) -> Self {
        Self { priority, ..self }
    }

    /// Sets the unicity.
    #[must_use]
    pub fn unicity(self, unicity: Option<Unicity>) -> Self {
        Self { unicity, ..self }
    }

    /// Sets the time before which the job does not start.
    #[must_use]
    pub fn scheduled_at(self, scheduled_at: Option<DateTime<Utc>>) -> Self {
        Self {
            scheduled_at,
            ..self
        }
    }

    /// Sets the number of retries.
    #[must_use]
    pub fn max_retries(self, max_retries: RetryCount) -> Self {
        Self {
            max_retries,
            ..self
        }
    }

    /// The creator.
    pub fn creator(&self) -> &Creator {
        &self.creator
    }

    /// Sets the creator.
    #[must_use]
    pub fn with_creator(self, creator: Creator) -> Self {
        Self { creator, ..self }
    }
}
