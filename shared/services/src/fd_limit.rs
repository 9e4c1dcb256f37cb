//! The limit of open files and connections of this process.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the soft limit of this process, often 1024, to the hard limit. Returns the limit; None means unlimited.
pub fn raise_limit() -> Option<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let wanted = limit.maximum;
        let before = std::mem::replace(&mut limit.current, wanted);
        if let Err(error) = setrlimit(Resource::Nofile, limit) {
            tracing::warn!(%error, "the limit of open files could not be raised");
            return before;
        }
    }
    limit.current
}
