//! The worker: claims jobs, fetches the URLs in their arguments, and stores and records the files.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use apalis::prelude::{
    Data, ParallelizeExt as _, WorkerBuilder, WorkerBuilderExt as _, WorkerContext,
};
use futures_util::{StreamExt as _, stream::BoxStream};
use media_domain::ids::WorkerId;
use media_services::{
    Services,
    config::Config,
    wakeups::{
        Wakeup,
        local::{LocalNotifier, LocalWakeups},
        redis::{RedisQueue, RedisQueueError},
    },
};
use tokio::{net::TcpListener, task::JoinHandle, time::timeout};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

mod active_jobs;
pub mod egress;
mod fetch;
mod health;
mod heartbeat;
mod import;
mod maintenance;
mod readiness;
mod runner;
mod slots;
mod wakeup_consumer;

use active_jobs::{ActiveJobs, StopReason};
use egress::{Dialer, EgressGate, NameResolver};
use fetch::Fetcher;
use import::Importer;
use maintenance::Maintenance;
use readiness::Readiness;
use runner::Runner;

/// Timeout of the release of stopped jobs, and of the tasks' end.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum time that `media-worker` takes to stop after the configured grace: to release jobs, end its runtime and
/// tasks, close its connections and flush traces. If it is killed earlier, jobs have to be rescued, which counts
/// an attempt.
pub const STOP_LIMIT: Duration = RELEASE_TIMEOUT
    .saturating_mul(3)
    .saturating_add(media_services::CLOSE_LIMIT)
    .saturating_add(media_telemetry::FLUSH_LIMIT);

/// Why the worker ended.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// No trusted certificates are available.
    #[error(transparent)]
    Trust(#[from] media_tls::TrustError),
    /// `REDIS_URL` cannot be used.
    #[error("REDIS_URL cannot be used")]
    Redis(#[from] RedisQueueError),
    /// The address for health and metrics is not available.
    #[error("cannot listen on {address}; choose another address with MEDIA_WORKER_LISTEN")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The runtime ended.
    #[error("the worker's runtime ended: {0}")]
    Runtime(String),
}

/// Runs jobs until `shutdown`, woken by this process, by Redis if configured, and by regular looks at the table.
/// Then lets running imports finish within the configured grace, and releases the others.
pub async fn run(
    services: Services,
    (local, source): (LocalNotifier, LocalWakeups),
    resolver: Arc<dyn NameResolver>,
    config: &Config,
    shutdown: CancellationToken,
) -> Result<(), WorkerError> {
    let worker = WorkerId::generate();
    let dialer = Dialer::new(EgressGate::new(&config.worker.egress), resolver);
    let contact = config.worker.contact.as_deref();
    let fetcher = Fetcher::new(
        dialer,
        config.worker.limits,
        (services.host_limits.clone(), worker),
        config.worker.fetch_connections,
        contact,
    )?;
    let importer = Importer::new(
        fetcher.clone(),
        (services.blobs.clone(), services.medias.clone()),
        Arc::clone(&services.store),
        config.max_bytes.as_u64(),
    );
    // Everything that can fail comes before the first task, as tasks are joined only at the end.
    let health = listen(config.worker.listen).await?;
    let redis = config.redis.as_ref().map(RedisQueue::open).transpose()?;
    let active = ActiveJobs::default();
    let end = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(fetcher.refresh_connection_shares(end.clone()));
    tasks.spawn(heartbeat::run(
        services.jobs.clone(),
        active.clone(),
        end.clone(),
    ));
    if let Some(listener) = health {
        tasks.spawn(health::run(services.clone(), listener, end.clone()));
    }
    let draining = shutdown.child_token();
    let readiness = Arc::new(Readiness::new(services.clone()));
    tasks.spawn(Arc::clone(&readiness).watch(end.clone()));
    let runner = Runner::new(
        (worker, services.jobs.clone()),
        importer,
        active.clone(),
        readiness,
        config.worker.limits.total,
        config.worker.concurrency,
        draining.clone(),
    );
    if let Some(queue) = redis {
        tasks.spawn(wakeup_consumer::run(
            queue,
            local.clone(),
            runner.clone(),
            draining.clone(),
        ));
    }
    let maintenance = Maintenance {
        services,
        local,
        concurrency: config.worker.concurrency,
        job_retention: config.worker.job_retention,
    };
    tasks.spawn(maintenance.clone().schedule_jobs(end.clone()));
    tasks.spawn(maintenance.clean_up(end.clone()));
    tasks.close();

    let context = WorkerContext::new("media-worker");
    let mut consumer = consume_local_wakeups(&context, runner.clone(), source, config);
    let ended = tokio::select! {
        () = shutdown.cancelled() => None,
        // Only a defect ends it: the source neither fails nor ends.
        ended = &mut consumer => Some(WorkerError::Runtime(reason_of(ended))),
    };
    // Fails only if the consumer has ended or not started, and so takes no wake-ups either.
    let _ = context.stop();
    draining.cancel();
    drain(&runner, &active, config.shutdown_grace).await;
    if ended.is_none() && timeout(RELEASE_TIMEOUT, &mut consumer).await.is_err() {
        consumer.abort();
    }
    end.cancel();
    if timeout(RELEASE_TIMEOUT, tasks.wait()).await.is_err() {
        tracing::error!("a statement in the database does not end; stopping anyway");
    }
    ended.map_or(Ok(()), Err)
}

async fn listen(address: Option<SocketAddr>) -> Result<Option<TcpListener>, WorkerError> {
    let Some(address) = address else {
        return Ok(None);
    };
    match TcpListener::bind(address).await {
        Ok(listener) => Ok(Some(listener)),
        Err(source) => Err(WorkerError::Listen { address, source }),
    }
}

type WakeupConsumer = JoinHandle<Result<(), apalis::prelude::WorkerError>>;

/// Starts a consumer of this process's wake-ups, with a task for each.
fn consume_local_wakeups(
    context: &WorkerContext,
    runner: Runner,
    source: LocalWakeups,
    config: &Config,
) -> WakeupConsumer {
    let wakeups: BoxStream<'static, Result<Wakeup, Infallible>> =
        source.into_stream().map(Ok).boxed();
    let worker = WorkerBuilder::new(context)
        .backend(wakeups)
        // Twice the slots, as imports that wait for a slot or are being recorded count as well.
        .concurrency(
            config
                .worker
                .concurrency
                .saturating_mul(2)
                .saturating_add(1),
        )
        .catch_panic()
        .data(runner)
        .parallelize(tokio::spawn)
        .build(on_wakeup);
    tokio::spawn(worker.run())
}

fn reason_of(
    ended: Result<Result<(), apalis::prelude::WorkerError>, tokio::task::JoinError>,
) -> String {
    match ended {
        Ok(Ok(())) => "it stopped by itself".to_owned(),
        Ok(Err(error)) => error.to_string(),
        Err(error) => error.to_string(),
    }
}

async fn on_wakeup(_: Wakeup, runner: Data<Runner>) {
    // Boxed, as the future is large and moves through each layer of the runtime.
    Box::pin(runner.work()).await;
}

/// Waits for running jobs, and stops those that exceed the grace.
async fn drain(runner: &Runner, active: &ActiveJobs, grace: Duration) {
    if timeout(grace, runner.idle()).await.is_ok() {
        return;
    }
    active.stop_all(StopReason::Shutdown);
    if timeout(RELEASE_TIMEOUT, runner.idle()).await.is_err() {
        tracing::error!("some jobs could not be released; they will be rescued");
    }
}
