//! Tickets: small messages saying "there is work". Losing every ticket loses nothing, for every
//! worker looks at the table each second; an extra ticket finds nothing to do.

use serde::{Deserialize, Serialize};

pub mod local;
pub mod redis;

/// Says that there may be work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket;

/// The most tickets that wait anywhere. Each worker that takes one works until nothing is pending,
/// so more would say nothing new.
pub const MAX_WAITING: usize = 256;

/// Where tickets are posted.
pub trait Tickets: Send + Sync + 'static {
    /// Posts up to `count` tickets, fewer if enough are waiting already. Never fails and never
    /// waits: a ticket is a hint.
    fn post(&self, count: usize);
}

/// Tickets that nobody hears: workers find new jobs in the table, within a second.
#[derive(Clone, Copy, Debug)]
pub struct Unheard;

impl Tickets for Unheard {
    fn post(&self, _count: usize) {}
}
