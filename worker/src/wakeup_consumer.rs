//! Consumes wake-ups from Redis, one at a time and only while this worker can run another job: a busy worker
//! leaves them to others.

use std::time::Duration;

use apalis::prelude::{
    BackendExt as _, Data, TaskId, WorkerBuilder, WorkerBuilderExt as _, WorkerContext,
};
use media_shared::{
    metrics::{Work, figures},
    tickets::{Ticket, Tickets as _, local::LocalTickets, redis::RedisQueue},
};
use rand::RngExt as _;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::runner::Runner;

/// Delay before a failed consumer is restarted; it doubles each time up to the maximum, with jitter.
const FIRST_DELAY: Duration = Duration::from_millis(250);
const MAX_DELAY: Duration = Duration::from_secs(10);
/// Running time after which a failed consumer is restarted with the first delay.
const STABLE_AFTER: Duration = Duration::from_mins(1);
/// Timeout of the deregistration.
const DEREGISTER_TIMEOUT: Duration = Duration::from_secs(2);

/// The context of the handler.
#[derive(Clone)]
struct Consumer {
    queue: RedisQueue,
    local: LocalTickets,
    runner: Runner,
}

/// Consumes wake-ups until `shutdown`. Any failure of Redis ends the worker of apalis, which is then restarted
/// with back-off and under a new name, as the old one stays registered for a while. Meanwhile the maintenance
/// loop finds pending jobs in the table.
pub(crate) async fn run(
    queue: RedisQueue,
    local: LocalTickets,
    runner: Runner,
    shutdown: CancellationToken,
) {
    let consumer = Consumer {
        queue,
        local,
        runner,
    };
    let mut delay = FIRST_DELAY;
    loop {
        let started = Instant::now();
        let Some(reason) = consume(&consumer, &shutdown).await else {
            return;
        };
        figures().troubled(Work::Tickets);
        if started.elapsed() > STABLE_AFTER {
            delay = FIRST_DELAY;
        }
        if delay == FIRST_DELAY {
            tracing::warn!(
                reason,
                "no wake-ups from Redis; polling the table each second until it is back"
            );
        }
        consumer.queue.renew();
        let jittered = delay.mul_f64(rand::rng().random_range(0.5..1.0));
        if shutdown
            .run_until_cancelled(sleep(jittered))
            .await
            .is_none()
        {
            return;
        }
        delay = (delay * 2).min(MAX_DELAY);
    }
}

/// Runs the worker of apalis until `shutdown`, or until it ends, and returns why it did. It can be dropped at any
/// point: a lost wake-up loses no job.
async fn consume(consumer: &Consumer, shutdown: &CancellationToken) -> Option<String> {
    let context = WorkerContext::new(&format!("media-worker-{}", Uuid::now_v7()));
    if let Err(error) = consumer.queue.announce(&context).await {
        return Some(error.to_string());
    }
    let worker = WorkerBuilder::new(&context)
        .backend(
            consumer
                .queue
                .storage()
                .poll_with_stream(consumer.queue.wakes()),
        )
        .concurrency(1)
        .data(consumer.clone())
        .build(on_wakeup);
    let ended = shutdown.run_until_cancelled(worker.run()).await;
    // If this fails, the registration expires.
    let _ = timeout(DEREGISTER_TIMEOUT, consumer.queue.bury(&context)).await;
    ended.map(|ended| match ended {
        Ok(()) => "it stopped by itself".to_owned(),
        Err(error) => error.to_string(),
    })
}

/// Acknowledges a wake-up, wakes this worker, and returns when it can run another job.
async fn on_wakeup(_: Ticket, id: TaskId, worker: WorkerContext, consumer: Data<Consumer>) {
    if let Err(error) = consumer.queue.forget(&id, &worker).await {
        tracing::debug!(%error, "a wake-up was not acknowledged; it will be delivered again");
    }
    figures().ticket_taken();
    consumer.local.post(1);
    consumer.local.all_taken().await;
    consumer.runner.wait_for_capacity().await;
}
