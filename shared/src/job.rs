//! What a job is: its class, its states, and what may be asked of it.

pub mod arguments;
pub mod failure;
pub mod status;

pub use arguments::{ArgumentError, ImportArguments, MediaImport};
pub use failure::{Failure, FailureCode};
pub use status::{JobStatus, Signal};

use serde::{Serialize, de::DeserializeOwned};

/// A kind of work: a name, versioned arguments and defaults. Its `run` lives in the worker, which
/// alone has the network.
pub trait JobClass {
    /// The name that clients write in `job_class`, stable for ever.
    const NAME: &'static str;
    /// The version of [`JobClass::Arguments`] that this program writes. A program reads every
    /// version up to its own, so old and new workers can run side by side.
    const ARGUMENTS_VERSION: i16;
    /// How often an attempt may fail before the job does, if the client does not say.
    const MAX_RETRIES: RetryCount;
    /// What the job needs to know, stored as JSON.
    type Arguments: Serialize + DeserializeOwned;
}

/// A job class as a program knows it. Jobs of later versions of its arguments are for newer programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownClass {
    pub(crate) name: &'static str,
    pub(crate) arguments_version: i16,
}

impl KnownClass {
    /// The class as this program was built with it.
    pub const fn of<C: JobClass>() -> Self {
        Self {
            name: C::NAME,
            arguments_version: C::ARGUMENTS_VERSION,
        }
    }
}

/// A number of retries: attempts beyond the first.
pub type RetryCount = i32;

/// How urgent a job is, −100…100; the higher is claimed first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Priority(i16);

impl Priority {
    /// The least urgent.
    pub const MIN: i16 = -100;
    /// The most urgent.
    pub const MAX: i16 = 100;

    /// The priority of the most urgent jobs.
    pub const HIGHEST: Self = Self(Self::MAX);

    /// Takes a number as a priority, or nothing if it is outside −100…100.
    pub fn new(value: i64) -> Option<Self> {
        i16::try_from(value)
            .ok()
            .filter(|value| (Self::MIN..=Self::MAX).contains(value))
            .map(Self)
    }

    /// The number.
    pub fn get(self) -> i16 {
        self.0
    }
}

/// Names an unfinished job: at most one such job holds a given value at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unicity(String);

impl Unicity {
    /// The longest value, in bytes.
    pub const MAX_BYTES: usize = 255;

    /// Takes a text as a uniqueness value: 1 to 255 bytes without control characters.
    pub fn new(value: &str) -> Result<Self, &'static str> {
        if value.is_empty() {
            return Err("must not be empty; leave it out instead");
        }
        if value.len() > Self::MAX_BYTES {
            return Err("must not be longer than 255 bytes");
        }
        if value.chars().any(char::is_control) {
            return Err("must not contain control characters");
        }
        Ok(Self(value.to_owned()))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
