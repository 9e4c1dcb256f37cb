//! Monitoring: one file per operation.

use std::sync::Arc;

use media_shared::services::Services;

mod livez;
mod metrics;
mod readyz;

use livez::Livez;
use metrics::Metrics;
use readyz::Readyz;

/// The operations of monitoring.
pub(crate) type HealthOperations = (Livez, Readyz, Metrics);

/// Creates the operations.
pub(crate) fn operations(services: &Arc<Services>) -> HealthOperations {
    (
        Livez,
        Readyz::new(Arc::clone(services)),
        Metrics {
            services: Arc::clone(services),
        },
    )
}
