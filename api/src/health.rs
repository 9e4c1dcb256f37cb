//! Monitoring: one file per operation.

use std::sync::Arc;

use media_services::Services;

mod livez;
mod metrics;
mod readyz;

use livez::Livez;
use metrics::Metrics;
use readyz::Readyz;

use crate::operation_group::operations;

operations! {
    /// The operations of monitoring.
    HealthOperations {
        livez: Livez,
        readyz: Readyz,
        metrics: Metrics,
    }
}

/// Creates the operations.
pub(crate) fn operations(services: &Arc<Services>) -> HealthOperations {
    HealthOperations {
        livez: Livez,
        readyz: Readyz::new(Arc::clone(services)),
        metrics: Metrics {
            services: Arc::clone(services),
        },
    }
}
