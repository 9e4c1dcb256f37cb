//! The worker: takes jobs from the table, fetches what they name, stores and records it.

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
pub mod fetch;
pub mod filename;
mod health;
mod heartbeat;
mod import;
mod maintenance;
mod readiness;
mod runner;
mod slots;
mod ticket_consumer;

use active_jobs::{ActiveJobs, StopReason};
use egress::{Dialer, EgressGate, NameResolver};
use fetch::Fetcher;
use import::Importer;
use maintenance::Maintenance;
use readiness::Readiness;
use runner::Runner;

/// How long jobs that were told to stop may take to write that down.
const HAND_BACK_LIMIT: Duration = Duration::from_secs(10);

/// How much longer than the configured grace `media-worker` may take to stop: handing jobs back, its
/// runtime, its tasks, its connections and its traces each have their limit. Whoever kills it earlier leaves jobs to
/// the rescue, which counts an attempt.
pub const STOP_LIMIT: Duration = HAND_BACK_LIMIT
    .saturating_mul(3)
    .saturating_add(media_services::CLOSE_LIMIT)
    .saturating_add(media_telemetry::FLUSH_LIMIT);

/// Why the worker could not run.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// No connection can be trusted.
    #[error(transparent)]
    Trust(#[from] media_tls::TrustError),
    /// `REDIS_URL` cannot be used.
    #[error("REDIS_URL cannot be used")]
    Redis(#[from] RedisQueueError),
    /// It cannot answer about its health.
    #[error("cannot listen on {address}; choose another address with MEDIA_WORKER_LISTEN")]
    Listen {
        /// Where it was to listen.
        address: SocketAddr,
        /// Why it cannot.
        source: std::io::Error,
    },
    /// Its runtime ended.
    #[error("the worker's runtime ended: {0}")]
    Runtime(String),
}

/// Runs until `shutdown`, on tickets that are posted in this process, on those in Redis where one is
/// configured, and on what it finds in the table; then lets running imports go on for the configured
/// grace and hands back those that are not done.
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
        services.blobs.clone(),
        Arc::clone(&services.store),
        config.max_bytes.as_u64(),
    );
    // Whatever can fail comes before the first task: those are joined at the end alone.
    let health = listen(config.worker.listen).await?;
    let redis = config.redis.as_ref().map(RedisQueue::open).transpose()?;
    let active = ActiveJobs::default();
    let end = CancellationToken::new();
    let tasks = TaskTracker::new();
    tasks.spawn(fetcher.keep_shares(end.clone()));
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
    tasks.spawn(Arc::clone(&readiness).keep_looking(end.clone()));
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
        tasks.spawn(ticket_consumer::run(
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
    tasks.spawn(maintenance.clone().keep_jobs_moving(end.clone()));
    tasks.spawn(maintenance.clean_up(end.clone()));
    tasks.close();

    let context = WorkerContext::new("media-worker");
    let mut tickets = take_tickets(&context, runner.clone(), source, config);
    let ended = tokio::select! {
        () = shutdown.cancelled() => None,
        // Nothing but a defect ends it: the source neither fails nor ends.
        ended = &mut tickets => Some(WorkerError::Runtime(reason_of(ended))),
    };
    // Fails only where the worker has ended or not begun: then it takes no tickets either.
    let _ = context.stop();
    draining.cancel();
    drain(&runner, &active, config.shutdown_grace).await;
    if ended.is_none() && timeout(HAND_BACK_LIMIT, &mut tickets).await.is_err() {
        tickets.abort();
    }
    end.cancel();
    if timeout(HAND_BACK_LIMIT, tasks.wait()).await.is_err() {
        tracing::error!("a statement to the database does not end; stopping all the same");
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

type TicketWorker = JoinHandle<Result<(), apalis::prelude::WorkerError>>;

/// Starts to take tickets, each in a task of its own.
fn take_tickets(
    context: &WorkerContext,
    runner: Runner,
    source: LocalWakeups,
    config: &Config,
) -> TicketWorker {
    let tickets: BoxStream<'static, Result<Wakeup, Infallible>> =
        source.into_stream().map(Ok).boxed();
    let worker = WorkerBuilder::new(context)
        .backend(tickets)
        // Twice the slots: imports that are being recorded or wait for a slot count, too.
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
        .build(take_ticket);
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

async fn take_ticket(_: Wakeup, runner: Data<Runner>) {
    // Boxed: it is large, and moved through each layer of the runtime.
    Box::pin(runner.work()).await;
}

/// Lets running jobs end, then hands back those that have not.
async fn drain(runner: &Runner, active: &ActiveJobs, grace: Duration) {
    if timeout(grace, runner.idle()).await.is_ok() {
        return;
    }
    active.stop_all(StopReason::Shutdown);
    if timeout(HAND_BACK_LIMIT, runner.idle()).await.is_err() {
        tracing::error!("some jobs could not be handed back; others will rescue them");
    }
}
