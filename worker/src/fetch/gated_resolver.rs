//! The gate where names have become addresses: the HTTP client dials what comes out of here, and
//! nothing else.

use std::{net::SocketAddr, sync::Arc};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};

use crate::egress::{EgressGate, NameResolver, PortClass, resolve_allowed};

/// Resolves names for the HTTP client.
pub(super) struct GatedResolver {
    pub(super) gate: EgressGate,
    pub(super) resolver: Arc<dyn NameResolver>,
    pub(super) class: PortClass,
}

impl Resolve for GatedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let gate = self.gate.clone();
        let resolver = Arc::clone(&self.resolver);
        let class = self.class;
        Box::pin(async move {
            let addresses = resolve_allowed(&gate, &*resolver, class, name.as_str()).await?;
            // The client puts the port of the URL in the place of 0.
            let addresses: Addrs = Box::new(
                addresses
                    .into_iter()
                    .map(|address| SocketAddr::new(address, 0)),
            );
            Ok(addresses)
        })
    }
}
