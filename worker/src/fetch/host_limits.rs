//! Limits per origin host that all workers share: the number of connections, and the back-off that a host
//! asks for.

mod host_backoff;
mod host_connections;
mod host_key;

pub(super) use host_backoff::HostBackoff;
pub(super) use host_connections::{ConnectionPermit, HostConnections, retry_delay};
