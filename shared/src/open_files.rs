//! How many files and connections this process may have open.

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises the limit of this process to what the system allows it: the one that shells start with,
/// often 1024, is kept for programs of old. Says what it is now; none is no limit.
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
