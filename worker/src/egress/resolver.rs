//! How names become addresses.

use std::{io, net::IpAddr};

use async_trait::async_trait;

/// Resolves names. Tests bring their own, so that no name leaves the machine.
#[async_trait]
pub trait NameResolver: Send + Sync + 'static {
    /// All addresses of a name. The caller limits the time.
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>>;
}

/// The system's resolver.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

#[async_trait]
impl NameResolver for SystemResolver {
    async fn resolve(&self, name: &str) -> io::Result<Vec<IpAddr>> {
        #[allow(clippy::disallowed_methods, reason = "the one place for it")]
        let addresses = tokio::net::lookup_host((name, 0)).await?;
        Ok(addresses.map(|address| address.ip()).collect())
    }
}
