//! What is the case when somebody asks.

use std::{sync::atomic::AtomicU64, time::Duration};

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{family::Family, gauge::Gauge},
    registry::Registry,
};
use tokio::time::timeout;

use crate::{
    database::Connections,
    job::{JobClass as _, MediaImport},
    job_ledger::ClassFigures,
    services::Services,
};

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfClass {
    class: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfState {
    state: &'static str,
}

/// How long the database has for its figures.
const LIMIT: Duration = Duration::from_secs(5);

/// Enters what the tables and the pool of connections say.
pub(super) async fn enter(registry: &mut Registry, services: &Services) {
    let queue = timeout(LIMIT, services.jobs.figures()).await;
    let up = Gauge::<i64>::default();
    up.set(matches!(queue, Ok(Ok(_))).into());
    registry.register(
        "database_up",
        "Whether the database has told these figures",
        up,
    );
    match queue {
        Ok(Ok(classes)) => enter_queue(registry, classes),
        Ok(Err(error)) => tracing::warn!(%error, "the figures lack those of the queue"),
        Err(_) => tracing::warn!("the figures lack those of the queue: the database is slow"),
    }
    if let Some(connections) = services.database.connections() {
        enter_connections(registry, connections);
    }
}

fn enter_queue(registry: &mut Registry, mut classes: Vec<ClassFigures>) {
    // A class of which there is nothing is shown, too.
    if !classes.iter().any(|each| each.class == MediaImport::NAME) {
        classes.push(ClassFigures::nothing_of(MediaImport::NAME));
    }
    let pending = Family::<OfClass, Gauge>::default();
    let running = Family::<OfClass, Gauge>::default();
    let oldest = Family::<OfClass, Gauge<f64, AtomicU64>>::default();
    for figures in classes {
        let class = OfClass {
            class: figures.class,
        };
        pending.get_or_create(&class).set(whole(figures.pending));
        running.get_or_create(&class).set(whole(figures.running));
        let age = figures.oldest_pending.unwrap_or_default();
        oldest.get_or_create(&class).set(age.as_secs_f64());
    }
    registry.register(
        "jobs_pending",
        "Jobs that a free worker would take, counted up to 100,000",
        pending,
    );
    registry.register(
        "jobs_oldest_pending_seconds",
        "How long the one of them has been pending that has been for longest",
        oldest,
    );
    registry.register("jobs_running", "Jobs that a worker holds", running);
}

fn enter_connections(registry: &mut Registry, connections: Connections) {
    let open = Family::<OfState, Gauge>::default();
    for (state, count) in [("idle", connections.idle), ("used", connections.used)] {
        open.get_or_create(&OfState { state }).set(whole(count));
    }
    registry.register(
        "database_connections",
        "Connections of this process to the database",
        open,
    );
    let most = Gauge::<i64>::default();
    most.set(whole(connections.most));
    registry.register("database_connections_max", "The most that it opens", most);
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
