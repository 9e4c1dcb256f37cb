//! Wake-ups: small messages to workers that there may be work. Losing all of them loses nothing, since every worker looks
//! at the table each second; an extra one finds nothing to do.

use serde::{Deserialize, Serialize};

pub mod local;
pub mod redis;

/// The message that there may be work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wakeup;

/// The most wake-ups that wait. A worker that receives one works until nothing is pending, so more would be useless.
pub const MAX_WAITING: usize = 256;

/// Wakes workers.
pub trait Notifier: Send + Sync + 'static {
    /// Sends up to `count` wake-ups, fewer if enough are waiting already. Never fails and never waits: a wake-up is a
    /// hint.
    fn notify(&self, count: usize);
}

/// Wakes nobody: workers find new jobs in the table within a second.
#[derive(Clone, Copy, Debug)]
pub struct NoopNotifier;

impl Notifier for NoopNotifier {
    fn notify(&self, _count: usize) {}
}
