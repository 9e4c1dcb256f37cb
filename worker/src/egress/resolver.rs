//! Resolves host names.

use std::{io, net::IpAddr};

use async_trait::async_trait;

/// Resolves names. Tests use their own resolver, so that no name leaves the machine.
#[async_trait]
pub trait NameResolver: Send + Sync + 'static {
    /// Returns all addresses of a name. The caller sets the timeout.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl NameResolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        #[allow(clippy::disallowed_methods, reason = "this is the resolver")]
        let addresses = tokio::net::lookup_host((name, 0)).await?;
        Ok(addresses.map(|address| address.ip()).collect())
    }
}
