//! Jobs: their classes, arguments, statuses and failures.

pub mod arguments;
mod class;
pub mod failure;
mod lease;
mod media_range;
mod priority;
mod redact;
mod status;
mod unicity;

pub use arguments::{ArgumentError, IfExists, ImportArguments, MediaImport};
pub use class::{JobClass, KnownClass};
pub use failure::{Failure, FailureCode};
pub use lease::Lease;
pub use media_range::{MediaRange, MediaRangeError};
pub use priority::{Priority, PriorityError};
pub use redact::redact_url;
pub use status::{JobStatus, Signal};
pub use unicity::Unicity;

/// A number of retries: attempts beyond the first.
pub type RetryCount = i32;
