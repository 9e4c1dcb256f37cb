//! The unicity name of a job.

use crate::name_rules::{self, MAX_NAME_BYTES, NameError};

/// A name that at most one unfinished job of a project can have at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unicity(String);

impl Unicity {
    /// The maximum length, in bytes.
    pub const MAX_BYTES: usize = MAX_NAME_BYTES;

    /// Checks a value with [`name_rules::check`].
    pub fn new(value: &str) -> Result<Self, NameError> {
        name_rules::check(value).map(|()| Self(value.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
