//! Wake-ups between processes, through apalis on Redis.
//!
//! apalis-redis 1.0 treats tasks as jobs, not as hints: it keeps finished tasks for ever, ends its worker over a backlog
//! of 8,000, and expects acknowledgements. So few wake-ups wait (at most [`MAX_WAITING`]), and a receiver deletes a
//! wake-up before anything else: nothing is acknowledged, locked, published or kept.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use apalis::prelude::{BoxDynError, TaskId, TaskSink as _, WorkerContext};
use apalis_redis::{Config, RedisStorage};
use futures_util::{Stream, StreamExt as _, stream};
use redis::{
    AsyncCommands as _, AsyncConnectionConfig, Client, ErrorKind, RedisError, TlsCertificates,
    aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection},
};
use tokio::{
    sync::Notify,
    time::{Instant, sleep, timeout},
};
use tokio_util::sync::CancellationToken;

use super::{MAX_WAITING, Notifier, Wakeup};
use media_domain::secret::Secret;
use media_telemetry::metrics::{BackgroundTask, metrics};
use media_tls::TrustError;

/// The beginning of every key. Wake-ups of another form need another name: one that cannot be read ends every worker that
/// receives it.
const QUEUE: &str = "media-tickets-v1";
/// The time limit of a connection or an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// The time limit of sending wake-ups.
const SEND_LIMIT: Duration = Duration::from_secs(3);
/// The time for which nothing is sent to a Redis that failed. Wake-ups are dropped meanwhile.
const FAILURE_PAUSE: Duration = Duration::from_secs(1);
/// The list on which idle workers wait, with an entry for each wake-up. apalis itself would poll.
const WAKE_LIST: &str = "media-tickets-v1:wake";
/// The time after which a worker asks for a wake-up without an entry in the list.
const WAKE_LIMIT: Duration = Duration::from_secs(1);
/// The least time between two sends: wake-ups of a burst are sent together.
const SEND_INTERVAL: Duration = Duration::from_millis(2);
/// The interval of heartbeats to apalis.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(10);
/// The number of missed heartbeats after which apalis considers a worker dead.
const MISSED_HEARTBEATS: usize = 6;
/// The time after which apalis's record of a worker expires: it is never deleted otherwise.
const RECORD_TTL_SECONDS: i64 = 24 * 60 * 60;

/// A Redis that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RedisQueueError {
    /// The URL is wrong.
    #[error(transparent)]
    Url(#[from] RedisError),
    /// The trusted authorities cannot be read.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// It is a cluster, or a sentinel.
    #[error(
        "it leads to a {0}, which is not supported; use a single server, or the address of its primary"
    )]
    Mode(String),
}

/// The remedy for a Redis that refuses, as the rest of a sentence.
fn advice(error: &RedisError) -> &'static str {
    let text = error.to_string().to_ascii_lowercase();
    if error.kind() == ErrorKind::AuthenticationFailed || text.contains("noauth") {
        "check the user and the password"
    } else if text.contains("certificate") {
        "its certificate is not trusted: name its authority with SSL_CERT_FILE"
    } else {
        "check that it runs at that address"
    }
}

/// The queue of wake-ups in Redis.
#[derive(Clone)]
pub struct RedisQueue {
    client: Client,
    connection: Arc<Mutex<ConnectionManager>>,
    config: Config,
}

impl RedisQueue {
    /// Opens the queue on a server. Nothing is sent yet. To be called within the runtime.
    pub fn open(url: &Secret) -> Result<Self, RedisQueueError> {
        let url = url.expose();
        let client = if url.starts_with("rediss://") {
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: Some(media_tls::authorities_as_pem()?),
            };
            Client::build_with_tls(&*url, certificates)?
        } else {
            Client::open(&*url)?
        };
        let connection = Arc::new(Mutex::new(connect(&client)?));
        let config = Config::default()
            .queue(QUEUE)
            // One at a time: a worker holds back none that another could receive.
            .batch_size(1)
            .persist_results(false)
            .lock_tasks(false)
            .emit_events(false)
            .heartbeat_interval(HEARTBEAT_INTERVAL)
            .missed_heartbeats(MISSED_HEARTBEATS);
        Ok(Self {
            client,
            connection,
            config,
        })
    }

    /// Makes sure that the server is a single one. A server that does not answer, or that refuses the user, the password
    /// or the certificate, is reported in the log only: workers find jobs in the table meanwhile.
    pub async fn check_mode(&self) -> Result<(), RedisQueueError> {
        let ask = async {
            let mut connection = self.client.get_multiplexed_async_connection().await?;
            redis::cmd("PING").exec_async(&mut connection).await?;
            // Some users may not ask.
            let mut info = redis::cmd("INFO");
            let info = info.arg("server").query_async::<String>(&mut connection);
            Ok::<_, RedisError>(info.await.unwrap_or_default())
        };
        let info = match timeout(ANSWER_LIMIT, ask).await {
            Ok(Ok(info)) => info,
            Ok(Err(error)) => {
                tracing::error!(%error, "the Redis in REDIS_URL cannot be used; {}", advice(&error));
                return Ok(());
            }
            Err(_) => {
                tracing::error!("the Redis in REDIS_URL does not answer within {ANSWER_LIMIT:?}");
                return Ok(());
            }
        };
        let mode = info
            .lines()
            .find_map(|line| line.strip_prefix("redis_mode:"));
        match mode.map(str::trim) {
            Some(mode @ ("cluster" | "sentinel")) => Err(RedisQueueError::Mode(mode.to_owned())),
            _ => Ok(()),
        }
    }

    /// The storage from which apalis receives wake-ups.
    pub fn storage(&self) -> RedisStorage<Wakeup> {
        RedisStorage::new(self.connection()).with_config(self.config.clone())
    }

    /// The number of waiting wake-ups.
    pub async fn waiting(&self) -> Result<usize, RedisError> {
        let (due, active): (usize, usize) = redis::pipe()
            .zcard(self.config.scheduled_jobs_set())
            .llen(self.config.active_jobs_list())
            .query_async(&mut self.connection())
            .await?;
        Ok(due + active)
    }

    /// Sends wake-ups, as far as there is room for more.
    async fn send(&self, count: usize) -> Result<(), BoxDynError> {
        let room = MAX_WAITING.saturating_sub(self.waiting().await?);
        let count = count.min(room);
        if count > 0 {
            self.storage().push_bulk(vec![Wakeup; count]).await?;
            self.wake(count).await?;
            metrics().wakeups_sent(count as u64);
        }
        Ok(())
    }

    /// Wakes as many idle workers as there are new wake-ups.
    async fn wake(&self, count: usize) -> Result<(), RedisError> {
        let longest = isize::try_from(MAX_WAITING).unwrap_or(isize::MAX);
        redis::pipe()
            .rpush(WAKE_LIST, vec![1; count])
            .ignore()
            // No more than there can be wake-ups, and none for a worker of another day.
            .ltrim(WAKE_LIST, -longest, -1)
            .ignore()
            .expire(WAKE_LIST, RECORD_TTL_SECONDS)
            .ignore()
            .exec_async(&mut self.connection())
            .await
    }

    /// The times at which to ask for a wake-up: when one was sent, and once a second in any case. Waits on a connection of
    /// its own.
    pub fn poll_times(&self) -> impl Stream<Item = ()> + Send + Unpin + 'static {
        let client = self.client.clone();
        let times = stream::unfold(None, move |connection| {
            let client = client.clone();
            async move {
                let asked = Instant::now();
                let connection = match wait_for_wake(&client, connection).await {
                    Ok(connection) => Some(connection),
                    Err(error) => {
                        tracing::debug!(%error, "waiting for Redis failed");
                        // Failures do not repeat at once.
                        sleep(WAKE_LIMIT.saturating_sub(asked.elapsed())).await;
                        None
                    }
                };
                Some(((), connection))
            }
        });
        times.boxed()
    }

    /// Announces a worker that is about to start. Fails if Redis does not answer.
    pub async fn announce(&self, worker: &WorkerContext) -> Result<(), RedisError> {
        let note = self.config.worker_metadata_key(worker);
        redis::pipe()
            .hset(&note, "service", "media-worker")
            .ignore()
            .expire(&note, RECORD_TTL_SECONDS)
            .ignore()
            .exec_async(&mut self.connection())
            .await
    }

    /// Deletes a wake-up, with all that apalis stored about it.
    pub async fn delete(&self, wakeup: &TaskId, worker: &WorkerContext) -> Result<(), RedisError> {
        self.delete_by_id(&wakeup.to_string(), worker).await
    }

    async fn delete_by_id(&self, id: &str, worker: &WorkerContext) -> Result<(), RedisError> {
        let config = &self.config;
        redis::pipe()
            .atomic()
            .srem(config.inflight_set_for(worker), id)
            .ignore()
            .lrem(config.active_jobs_list(), 0, id)
            .ignore()
            .hdel(config.job_data_hash(), id)
            .ignore()
            .del(format!("{}:{id}", config.job_meta_hash()))
            .ignore()
            .exec_async(&mut self.connection())
            .await
    }

    /// Deletes the record of a worker that has ended, with the wake-ups that it held.
    pub async fn deregister(&self, worker: &WorkerContext) -> Result<(), RedisError> {
        let config = &self.config;
        let held: Vec<String> = redis::cmd("SMEMBERS")
            .arg(config.inflight_set_for(worker))
            .query_async(&mut self.connection())
            .await?;
        for id in &held {
            self.delete_by_id(id, worker).await?;
        }
        redis::pipe()
            .zrem(config.workers_set(), worker.name())
            .ignore()
            .del(config.worker_metadata_key(worker))
            .ignore()
            .exec_async(&mut self.connection())
            .await
    }

    /// Connects again: a refused connection stays refused, and a hanging one stays.
    pub fn reconnect(&self) {
        if let Ok(connection) = connect(&self.client) {
            *self.lock() = connection;
        }
    }

    fn connection(&self) -> ConnectionManager {
        self.lock().clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, ConnectionManager> {
        // No code that holds the lock can leave it half changed.
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for an entry in the list, for [`WAKE_LIMIT`]. Returns the connection for the next time.
async fn wait_for_wake(
    client: &Client,
    connection: Option<MultiplexedConnection>,
) -> Result<MultiplexedConnection, RedisError> {
    let mut connection = if let Some(connection) = connection {
        connection
    } else {
        let limits = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(ANSWER_LIMIT))
            .set_response_timeout(Some(WAKE_LIMIT + ANSWER_LIMIT));
        let connecting = client.get_multiplexed_async_connection_with_config(&limits);
        connecting.await?
    };
    let seconds = WAKE_LIMIT.as_secs_f64();
    let _: Option<(String, i64)> = connection.blpop(WAKE_LIST, seconds).await?;
    Ok(connection)
}

/// Connects at the first command, and fails fast: every caller works without Redis.
fn connect(client: &Client) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(ANSWER_LIMIT))
        .set_response_timeout(Some(ANSWER_LIMIT));
    client.get_connection_manager_lazy(config)
}

/// Sends wake-ups from a task of its own, so that no caller waits for Redis.
#[derive(Clone, Default)]
pub struct RedisNotifier(Arc<Wanted>);

/// The number of wake-ups to send.
#[derive(Default)]
struct Wanted {
    count: AtomicUsize,
    grown: Notify,
}

impl Notifier for RedisNotifier {
    fn notify(&self, count: usize) {
        self.0
            .count
            .fetch_add(count.min(MAX_WAITING), Ordering::Relaxed);
        self.0.grown.notify_one();
    }
}

impl RedisNotifier {
    /// Sends wake-ups until `end`.
    pub async fn run(self, queue: RedisQueue, end: CancellationToken) {
        let mut away = false;
        loop {
            if end
                .run_until_cancelled(self.0.grown.notified())
                .await
                .is_none()
            {
                return;
            }
            let count = self.take();
            let sent = match timeout(SEND_LIMIT, queue.send(count)).await {
                Ok(sent) => sent,
                Err(_) => Err("it does not answer".into()),
            };
            match sent {
                Ok(()) if away => {
                    away = false;
                    tracing::info!("wake-ups go through Redis again");
                }
                // Wake-ups that come now are sent together.
                Ok(()) => sleep(SEND_INTERVAL).await,
                Err(error) => {
                    metrics().background_error(BackgroundTask::Wakeups);
                    if !away {
                        tracing::warn!(%error, "wake-ups cannot be sent; workers look at the table each second");
                    }
                    away = true;
                    queue.reconnect();
                    let pause = tokio::time::sleep(FAILURE_PAUSE);
                    if end.run_until_cancelled(pause).await.is_none() {
                        return;
                    }
                    self.take();
                }
            }
        }
    }

    fn take(&self) -> usize {
        self.0.count.swap(0, Ordering::Relaxed).min(MAX_WAITING)
    }
}
