//! Job classes.

use serde::{Serialize, de::DeserializeOwned};

use super::RetryCount;

/// A class of jobs: a name, versioned arguments and defaults.
pub trait JobClass {
    /// The name on the wire (`job_class`). Must never change.
    const NAME: &'static str;
    /// The version of [`JobClass::Arguments`] that this program writes. A program reads every version up to its own,
    /// so old and new workers can run side by side.
    const ARGUMENTS_VERSION: i16;
    /// The default number of retries.
    const MAX_RETRIES: RetryCount;
    /// The arguments of a job, stored as JSON.
    type Arguments: Serialize + DeserializeOwned;
}

/// A job class that a program can run. Jobs with later versions of the arguments are left to newer programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownClass {
    /// The name on the wire.
    pub name: &'static str,
    /// The latest version of the arguments that the program reads.
    pub arguments_version: i16,
}

impl KnownClass {
    /// The class as compiled into this program.
    pub const fn of<C: JobClass>() -> Self {
        Self {
            name: C::NAME,
            arguments_version: C::ARGUMENTS_VERSION,
        }
    }
}
