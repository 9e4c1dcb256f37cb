//! The only gate to the network on behalf of users: [`Dialer`] connects, and [`EgressGate`] checks every
//! URL before a request and every address right before it is dialled.

mod address_policy;
mod dial;
pub mod reserved_networks;
mod resolver;

pub use address_policy::{EgressDenied, EgressGate};
pub use dial::{DialError, Dialer};
pub use resolver::{NameResolver, SystemResolver};
