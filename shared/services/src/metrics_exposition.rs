//! The exposition of metrics, in the text format of `OpenMetrics` 1.0: the counters of the process, and the state of the
//! queue and the connections.

use std::{sync::atomic::AtomicU64, time::Duration};

use media_database::{Connections, job_repository::QueueStats};
use media_domain::job::{JobClass as _, MediaImport};
use media_telemetry::metrics::{metrics, register_process};
use prometheus_client::{
    encoding::{EncodeLabelSet, text},
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::time::timeout;

use crate::Services;

/// The media type of [`exposition`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The beginning of the names of the service's metrics.
const PREFIX: &str = "media";
/// The time within which the database has to answer.
const DATABASE_LIMIT: Duration = Duration::from_secs(5);

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfClass {
    class: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    state: &'static str,
}

/// The metrics as they are now. Metrics that the database does not answer in time are missing.
pub async fn exposition(services: &Services) -> String {
    let mut registry = Registry::with_prefix(PREFIX);
    metrics().register(&mut registry);
    register_database(&mut registry, services).await;
    let mut process = Registry::default();
    register_process(&mut process);
    let mut exposition = String::new();
    // Writing to a `String` cannot fail.
    let _ = text::encode_registry(&mut exposition, &registry);
    let _ = text::encode(&mut exposition, &process);
    exposition
}

async fn register_database(registry: &mut Registry, services: &Services) {
    let queue = timeout(DATABASE_LIMIT, services.jobs.queue_stats()).await;
    let up = Gauge::<i64>::default();
    up.set(matches!(queue, Ok(Ok(_))).into());
    registry.register("database_up", "Whether the database answered", up);
    match queue {
        Ok(Ok(classes)) => register_queue(registry, classes),
        Ok(Err(error)) => tracing::warn!(%error, "the metrics of the queue are missing"),
        Err(_) => tracing::warn!("the metrics of the queue are missing: the database is slow"),
    }
    if let Some(connections) = services.database.connections() {
        register_connections(registry, connections);
    }
}

fn register_queue(registry: &mut Registry, mut classes: Vec<QueueStats>) {
    // A class without jobs is shown with zeros.
    if !classes.iter().any(|each| each.class == MediaImport::NAME) {
        classes.push(QueueStats::empty(MediaImport::NAME));
    }
    let pending = Family::<OfClass, Gauge>::default();
    let running = Family::<OfClass, Gauge>::default();
    let oldest = Family::<OfClass, Gauge<f64, AtomicU64>>::default();
    for stats in classes {
        let class = OfClass { class: stats.class };
        pending.get_or_create(&class).set(whole(stats.pending));
        running.get_or_create(&class).set(whole(stats.running));
        let age = stats.oldest_pending.unwrap_or_default();
        oldest.get_or_create(&class).set(age.as_secs_f64());
    }
    registry.register(
        "jobs_pending",
        "Pending jobs, counted up to 100,000",
        pending,
    );
    registry.register(
        "jobs_oldest_pending_seconds",
        "Age of the oldest pending job, in seconds",
        oldest,
    );
    registry.register("jobs_running", "Running jobs", running);
}

fn register_connections(registry: &mut Registry, connections: Connections) {
    let open = Family::<OfState, Gauge>::default();
    for (state, count) in [("idle", connections.idle), ("used", connections.used)] {
        open.get_or_create(&OfState { state }).set(whole(count));
    }
    registry.register(
        "database_connections",
        "Connections of this process to the database",
        open,
    );
    let max = Gauge::<i64>::default();
    max.set(whole(connections.max));
    registry.register(
        "database_connections_max",
        "Limit of connections of this process to the database",
        max,
    );
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
