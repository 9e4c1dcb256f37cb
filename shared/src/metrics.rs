//! The figures that one steers by, in the text format that Prometheus reads.

use std::sync::atomic::AtomicU64;

use prometheus_client::{encoding::text, metrics::gauge::Gauge, registry::Registry};
use sea_orm::DbErr;

use crate::{job_ledger::QueueFigures, services::Services};

/// The figures as they are now.
pub async fn exposition(services: &Services) -> Result<String, DbErr> {
    let figures = services.jobs.figures().await?;
    let mut registry = Registry::with_prefix("media");
    enter(&mut registry, &figures);
    let mut exposition = String::new();
    // Fails only where the text cannot take it, and a `String` takes everything.
    let _ = text::encode(&mut exposition, &registry);
    Ok(exposition)
}

fn enter(registry: &mut Registry, figures: &QueueFigures) {
    let pending = Gauge::<i64>::default();
    pending.set(i64::try_from(figures.pending).unwrap_or(i64::MAX));
    registry.register(
        "jobs_pending",
        "Jobs that a free worker would take, counted up to 100,000",
        pending,
    );
    let oldest = Gauge::<f64, AtomicU64>::default();
    oldest.set(figures.oldest_pending.unwrap_or_default().as_secs_f64());
    registry.register(
        "jobs_oldest_pending_seconds",
        "How long the oldest of them has been pending",
        oldest,
    );
    let running = Gauge::<i64>::default();
    running.set(i64::try_from(figures.running).unwrap_or(i64::MAX));
    registry.register("jobs_running", "Jobs that a worker holds", running);
}
