//! A worker's hold on a job.

use std::fmt;

use super::Attempt;
use crate::ids::JobId;

/// A worker's hold on a job, which every write about the job names. Writes of a lease that is over are refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The job.
    pub job_id: JobId,
    /// The attempt: the fencing token, one higher with every claim.
    pub attempt: Attempt,
}

impl fmt::Display for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.job_id, self.attempt)
    }
}
