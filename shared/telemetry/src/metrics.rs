//! Metrics of a process, for Prometheus.
//!
//! Events are counted where they happen, in [`metrics`], one set for each process. `media-services` adds the state of
//! the queue and writes the exposition. Labels have few values, all of them known: classes, outcomes, error codes,
//! routes; never text that a client chose.

mod counters;
mod labels;
mod process;

pub use counters::{Metrics, RequestGuard, metrics};
pub use labels::{AttemptOutcome, BackgroundTask, Stored};
pub use process::register as register_process;
