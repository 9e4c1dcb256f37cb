//! The figures that one steers by, in the text format that Prometheus reads.
//!
//! What happens is counted where it happens, in [`figures`], which are one set for each process. What
//! is the case, such as how many jobs wait, is looked up when somebody asks ([`exposition`]). Labels
//! have few values, all of them known: classes, outcomes, error codes, routes; never what a client
//! made up.

use prometheus_client::{encoding::text, registry::Registry};

use crate::services::Services;

mod figures;
mod labels;
mod process;
mod state;

pub use figures::{Figures, RequestGuard, figures};
pub use labels::{AttemptOutcome, Stored, Work};

/// The media type of [`exposition`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What the names of all figures of the service begin with.
const PREFIX: &str = "media";

/// The figures as they are now, in the form of OpenMetrics 1.0. What the database does not tell in time
/// is missing.
pub async fn exposition(services: &Services) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    figures().enter(&mut registry);
    state::enter(&mut registry, services).await;
    let mut process = Registry::default();
    process::enter(&mut process);
    let mut exposition = String::new();
    // Fails only where the text cannot take it, and a `String` takes everything.
    let _ = text::encode_registry(&mut exposition, &registry);
    let _ = text::encode(&mut exposition, &process);
    exposition
}
