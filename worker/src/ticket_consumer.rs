//! Takes tickets from Redis and hands them to this worker, one at a time, and only while it has
//! room for another job: a busy worker leaves them to the others.

use std::time::Duration;

use apalis::prelude::{
    BackendExt as _, Data, TaskId, WorkerBuilder, WorkerBuilderExt as _, WorkerContext,
};
use media_services::wakeups::{Tickets as _, Wakeup, local::LocalNotifier, redis::RedisQueue};
use media_telemetry::metrics::{BackgroundTask, metrics};
use rand::RngExt as _;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::runner::Runner;

/// The pause before a consumer that ended is started again: doubled each time, with jitter.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// After running for this long, a consumer that ends is started again with the first pause.
const STABLE_AFTER: Duration = Duration::from_mins(1);
/// How long the last words to Redis may take.
const BURIAL_LIMIT: Duration = Duration::from_secs(2);

/// What the handler of tickets needs.
#[derive(Clone)]
struct Taker {
    queue: RedisQueue,
    local: LocalNotifier,
    runner: Runner,
}

/// Takes tickets until `shutdown`. Any failure of Redis ends apalis's worker, so it is started again
/// with back-off, each time under a new name: the old one stays taken for a while. Meanwhile the
/// maintenance loop finds what is pending in the table.
pub(crate) async fn run(
    queue: RedisQueue,
    local: LocalNotifier,
    runner: Runner,
    shutdown: CancellationToken,
) {
    let taker = Taker {
        queue,
        local,
        runner,
    };
    let mut pause = FIRST_PAUSE;
    loop {
        let started = Instant::now();
        let Some(reason) = consume(&taker, &shutdown).await else {
            return;
        };
        metrics().background_error(BackgroundTask::Wakeups);
        if started.elapsed() > STABLE_AFTER {
            pause = FIRST_PAUSE;
        }
        if pause == FIRST_PAUSE {
            tracing::warn!(
                reason,
                "no tickets from Redis; looking at the table each second until it is back"
            );
        }
        taker.queue.renew();
        let jittered = pause.mul_f64(rand::rng().random_range(0.5..1.0));
        if shutdown
            .run_until_cancelled(sleep(jittered))
            .await
            .is_none()
        {
            return;
        }
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

/// Runs apalis's worker until it ends, and says why it did; or until `shutdown`. It can be dropped
/// at any point: a ticket under way is lost, which loses nothing.
async fn consume(taker: &Taker, shutdown: &CancellationToken) -> Option<String> {
    let context = WorkerContext::new(&format!("media-worker-{}", Uuid::now_v7()));
    if let Err(error) = taker.queue.announce(&context).await {
        return Some(error.to_string());
    }
    let worker = WorkerBuilder::new(&context)
        .backend(taker.queue.storage().poll_with_stream(taker.queue.wakes()))
        .concurrency(1)
        .data(taker.clone())
        .build(take_ticket);
    let ended = shutdown.run_until_cancelled(worker.run()).await;
    // Its traces go, too, unless Redis is away; then they go by themselves.
    let _ = timeout(BURIAL_LIMIT, taker.queue.deregister(&context)).await;
    ended.map(|ended| match ended {
        Ok(()) => "it stopped by itself".to_owned(),
        Err(error) => error.to_string(),
    })
}

/// Forgets the ticket, wakes this worker, and takes no other until it has room again.
async fn take_ticket(_: Wakeup, id: TaskId, worker: WorkerContext, taker: Data<Taker>) {
    if let Err(error) = taker.queue.forget(&id, &worker).await {
        tracing::debug!(%error, "a ticket is not forgotten yet; it will come again");
    }
    metrics().wakeup_received();
    taker.local.post(1);
    taker.local.all_received().await;
    taker.runner.has_room().await;
}
