//! The entry to fetching, shared by all imports of a worker.

use std::sync::Arc;

use media_shared::{
    config::FetchLimits, ids::WorkerId, origin_ledger::OriginLedger, tls::TrustError,
};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use super::{answer::Answer, error::FetchFailure, exchange::OriginClient, target::Target};
use crate::egress::Dialer;

/// Memory for prefetched bytes of all imports, in mebibytes.
const PREFETCH_MEBIBYTES: usize = 32;

/// Fetches URLs.
#[derive(Clone)]
pub(crate) struct Fetcher {
    pub(super) client: OriginClient,
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
        origins: (OriginLedger, WorkerId),
        max_connections: usize,
        contact: Option<&str>,
    ) -> Result<Self, TrustError> {
        Ok(Self {
            client: OriginClient::new(dialer, limits, origins, max_connections, contact)?,
            prefetch_memory: Arc::new(Semaphore::new(PREFETCH_MEBIBYTES)),
            max_connections_per_import: max_connections.div_ceil(2),
        })
    }

    /// Keeps this worker's share of each host's connections up to date, until `end`.
    pub(crate) async fn refresh_connection_shares(self, end: CancellationToken) {
        self.client.connections.refresh_shares(end).await;
    }

    /// Requests the whole content of a URL.
    pub(crate) async fn open(&self, target: &Target) -> Result<Answer, FetchFailure> {
        self.client.open(target).await
    }
}
