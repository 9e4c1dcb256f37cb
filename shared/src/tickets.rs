//! Tickets: small messages saying "there is work". Losing every ticket loses nothing, for the
//! maintenance loop looks at the table; an extra ticket finds nothing to do.

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

pub mod local;

/// Says that there may be work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket;

/// Where tickets are posted.
#[async_trait]
pub trait Tickets: Send + Sync + 'static {
    /// Posts up to `count` tickets, fewer if enough are waiting already. Never fails and never
    /// waits long: a ticket is a hint.
    async fn post(&self, count: usize);
}
