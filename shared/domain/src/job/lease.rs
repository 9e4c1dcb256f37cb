//! The lease of a job.

use std::fmt;

use super::Attempt;
use crate::ids::JobId;

/// A worker's temporary ownership of a job. Every write to the job carries the lease, and is refused once the lease has
/// ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The job.
    pub job_id: JobId,
    /// The number of the attempt. It serves as the fencing token and is incremented by every claim.
    pub attempt: Attempt,
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.job_id, self.attempt)
    }
}
