//! Jobs: their classes, arguments, statuses and failures.

pub mod arguments;
mod attempt;
mod class;
pub mod failure;
mod lease;
mod media_range;
mod priority;
mod redact;
mod retry_count;
mod status;
mod unicity;

pub use arguments::{ArgumentError, IfExists, ImportArguments, MediaImport};
pub use attempt::Attempt;
pub use class::{JobClass, KnownClass};
pub use failure::{Failure, FailureCode, RetryDelay};
pub use lease::Lease;
pub use media_range::{MediaRange, MediaRangeError};
pub use priority::{Priority, PriorityError};
pub use redact::redact_url;
pub use retry_count::{RetryCount, RetryCountError};
pub use status::{JobStatus, Signal};
pub use unicity::Unicity;
