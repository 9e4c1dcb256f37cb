//! The state of fetching that all imports of a worker share.

use std::sync::Arc;

use hyper::header::HeaderValue;
use media_shared::{
    config::FetchLimits, ids::WorkerId, origin_ledger::OriginLedger, tls::TrustError,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{
    connect::Connector,
    host_limits::{HostBackoff, HostConnections},
};
use crate::egress::{Dialer, EgressGate};

/// The product name in `User-Agent`.
const PRODUCT: &str = concat!("media-importer/", env!("CARGO_PKG_VERSION"));
/// Memory for prefetched bytes of all imports, in mebibytes.
const PREFETCH_MEBIBYTES: usize = 32;

/// Fetches URLs.
#[derive(Clone)]
pub(crate) struct Fetcher {
    pub(super) connector: Connector,
    pub(super) limits: FetchLimits,
    pub(super) user_agent: HeaderValue,
    pub(super) connections: HostConnections,
    pub(super) backoff: HostBackoff,
    /// Permits for prefetched bytes, in mebibytes.
    pub(super) prefetch_memory: Arc<Semaphore>,
    pub(super) max_connections_per_import: usize,
}

impl Fetcher {
    /// All workers together open at most `max_connections` to each host; one import may use half of them.
    /// `contact` is an address for the operators of origins.
    pub(crate) fn new(
        dialer: Dialer,
        limits: FetchLimits,
        (origins, worker): (OriginLedger, WorkerId),
        max_connections: usize,
        contact: Option<&str>,
    ) -> Result<Self, TrustError> {
        let product = contact.map(|contact| format!("{PRODUCT} (+{contact})"));
        let user_agent = product.and_then(|product| HeaderValue::try_from(product).ok());
        Ok(Self {
            connector: Connector::new(dialer, limits.connect)?,
            limits,
            user_agent: user_agent.unwrap_or(HeaderValue::from_static(PRODUCT)),
            connections: HostConnections::new(origins.clone(), worker, max_connections),
            backoff: HostBackoff::new(origins),
            prefetch_memory: Arc::new(Semaphore::new(PREFETCH_MEBIBYTES)),
            max_connections_per_import: max_connections.div_ceil(2),
        })
    }

    /// Keeps this worker's share of each host's connections up to date, until `end`.
    pub(crate) async fn refresh_connection_shares(self, end: CancellationToken) {
        self.connections.refresh_shares(end).await;
    }

    pub(super) fn gate(&self) -> &EgressGate {
        self.connector.dialer().gate()
    }
}
