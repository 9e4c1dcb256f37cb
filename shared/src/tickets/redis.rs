//! Tickets between processes, through apalis on Redis.
//!
//! What apalis-redis 1.0 does with tasks suits jobs, not hints: it keeps what is done for ever, ends
//! its worker for good over a backlog of 8,000, and counts on acknowledgements. So tickets are few
//! (at most [`MAX_WAITING`] wait), and whoever takes one forgets it before anything else: nothing is
//! acknowledged, locked, published or kept.

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

use super::{MAX_WAITING, Ticket, Tickets};
use crate::{
    config::Secret,
    metrics::{Work, figures},
    tls::{self, TrustError},
};

/// The first part of every key. A ticket of another form gets another name: one that cannot be read
/// ends every worker that takes it.
const QUEUE: &str = "media-tickets-v1";
/// How long Redis has for a connection or an answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(2);
/// How long a post may take in all.
const POST_LIMIT: Duration = Duration::from_secs(3);
/// How long a Redis that failed is left alone. What would be posted meanwhile is dropped.
const PAUSE: Duration = Duration::from_secs(1);
/// The list that idle workers wait at: an entry for each ticket that was posted. apalis itself asks again
/// and again.
const WAKE: &str = "media-tickets-v1:wake";
/// How long a worker waits there before it asks for a ticket all the same.
const WAKE_LIMIT: Duration = Duration::from_secs(1);
/// After a burst of posts, tickets are posted together: so long after the one before.
const POST_PAUSE: Duration = Duration::from_millis(2);
/// How often a worker tells apalis that it lives, and after how many times without that it is dead.
const HEARTBEAT_EVERY: Duration = Duration::from_secs(10);
const MISSED_HEARTBEATS: usize = 6;
/// How long apalis's note about a worker outlives it: it is never removed otherwise.
const NOTE_SECONDS: i64 = 24 * 60 * 60;

/// Why a Redis cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RedisQueueError {
    /// The URL is wrong.
    #[error(transparent)]
    Url(#[from] RedisError),
    /// No connection can be trusted.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// It is a cluster, or a sentinel.
    #[error(
        "it leads to a {0}, which is not supported; use a single server, or the address of its primary"
    )]
    Mode(String),
}

/// What to do about a Redis that refuses, as the rest of a sentence.
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

/// The queue of tickets in Redis.
#[derive(Clone)]
pub struct RedisQueue {
    client: Client,
    connection: Arc<Mutex<ConnectionManager>>,
    config: Config,
}

impl RedisQueue {
    /// A queue on this server. Nothing is sent yet; to be called within the runtime.
    pub fn open(url: &Secret) -> Result<Self, RedisQueueError> {
        let url = url.expose();
        let client = if url.starts_with("rediss://") {
            let certificates = TlsCertificates {
                client_tls: None,
                root_cert: Some(tls::authorities_as_pem()?),
            };
            Client::build_with_tls(&*url, certificates)?
        } else {
            Client::open(&*url)?
        };
        let connection = Arc::new(Mutex::new(connect(&client)?));
        let config = Config::default()
            .queue(QUEUE)
            // One at a time: a worker holds back none that another could take.
            .batch_size(1)
            .persist_results(false)
            .lock_tasks(false)
            .emit_events(false)
            .heartbeat_interval(HEARTBEAT_EVERY)
            .missed_heartbeats(MISSED_HEARTBEATS);
        Ok(Self {
            client,
            connection,
            config,
        })
    }

    /// Makes sure that the server is a single one. A server that does not answer, or refuses the user, the password
    /// or the certificate, is told in the log: jobs are found in the table meanwhile, within a second.
    pub async fn check_mode(&self) -> Result<(), RedisQueueError> {
        let ask = async {
            let mut connection = self.client.get_multiplexed_async_connection().await?;
            redis::cmd("PING").exec_async(&mut connection).await?;
            // Not all users may ask.
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

    /// Where apalis takes tickets from.
    pub fn storage(&self) -> RedisStorage<Ticket> {
        RedisStorage::new(self.connection()).with_config(self.config.clone())
    }

    /// How many tickets wait.
    pub async fn waiting(&self) -> Result<usize, RedisError> {
        let (due, active): (usize, usize) = redis::pipe()
            .zcard(self.config.scheduled_jobs_set())
            .llen(self.config.active_jobs_list())
            .query_async(&mut self.connection())
            .await?;
        Ok(due + active)
    }

    /// Posts tickets, as far as there is room for more.
    async fn post(&self, count: usize) -> Result<(), BoxDynError> {
        let room = MAX_WAITING.saturating_sub(self.waiting().await?);
        let count = count.min(room);
        if count > 0 {
            self.storage().push_bulk(vec![Ticket; count]).await?;
            self.wake(count).await?;
            figures().tickets_posted(count as u64);
        }
        Ok(())
    }

    /// Wakes as many idle workers as there are new tickets.
    async fn wake(&self, count: usize) -> Result<(), RedisError> {
        let longest = isize::try_from(MAX_WAITING).unwrap_or(isize::MAX);
        redis::pipe()
            .rpush(WAKE, vec![1; count])
            .ignore()
            // No more than there can be tickets, and none for workers of another day.
            .ltrim(WAKE, -longest, -1)
            .ignore()
            .expire(WAKE, NOTE_SECONDS)
            .ignore()
            .exec_async(&mut self.connection())
            .await
    }

    /// When to ask for a ticket: whenever one was posted, and once a second in any case. Waits on a
    /// connection of its own.
    pub fn wakes(&self) -> impl Stream<Item = ()> + Send + Unpin + 'static {
        let client = self.client.clone();
        let wakes = stream::unfold(None, move |connection| {
            let client = client.clone();
            async move {
                let asked = Instant::now();
                let connection = match wait_for_wake(&client, connection).await {
                    Ok(connection) => Some(connection),
                    Err(error) => {
                        tracing::debug!(%error, "no wake from Redis");
                        // Not again and again.
                        sleep(WAKE_LIMIT.saturating_sub(asked.elapsed())).await;
                        None
                    }
                };
                Some(((), connection))
            }
        });
        wakes.boxed()
    }

    /// Says that a worker is about to start; fails if Redis does not answer.
    pub async fn announce(&self, worker: &WorkerContext) -> Result<(), RedisError> {
        let note = self.config.worker_metadata_key(worker);
        redis::pipe()
            .hset(&note, "service", "media-worker")
            .ignore()
            .expire(&note, NOTE_SECONDS)
            .ignore()
            .exec_async(&mut self.connection())
            .await
    }

    /// Takes a ticket out of Redis, with all that apalis noted about it.
    pub async fn forget(&self, ticket: &TaskId, worker: &WorkerContext) -> Result<(), RedisError> {
        self.forget_by_id(&ticket.to_string(), worker).await
    }

    async fn forget_by_id(&self, id: &str, worker: &WorkerContext) -> Result<(), RedisError> {
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

    /// Takes a worker that has ended out of Redis, with the tickets that it held.
    pub async fn bury(&self, worker: &WorkerContext) -> Result<(), RedisError> {
        let config = &self.config;
        let held: Vec<String> = redis::cmd("SMEMBERS")
            .arg(config.inflight_set_for(worker))
            .query_async(&mut self.connection())
            .await?;
        for id in &held {
            self.forget_by_id(id, worker).await?;
        }
        redis::pipe()
            .zrem(config.workers_set(), worker.name())
            .ignore()
            .del(config.worker_metadata_key(worker))
            .ignore()
            .exec_async(&mut self.connection())
            .await
    }

    /// Connects anew. A connection that was refused is refused for ever, and one that hangs stays.
    pub fn renew(&self) {
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

/// Waits at the list, for a while; gives the connection back for the next time.
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
    let _: Option<(String, i64)> = connection.blpop(WAKE, seconds).await?;
    Ok(connection)
}

/// Connects at the first command, and fails fast: every caller has a way without Redis.
fn connect(client: &Client) -> Result<ConnectionManager, RedisError> {
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(ANSWER_LIMIT))
        .set_response_timeout(Some(ANSWER_LIMIT));
    client.get_connection_manager_lazy(config)
}

/// Posts tickets from a task of its own: nobody waits for Redis.
#[derive(Clone, Default)]
pub struct RedisTickets(Arc<Wanted>);

/// How many tickets are to be posted.
#[derive(Default)]
struct Wanted {
    count: AtomicUsize,
    grown: Notify,
}

impl Tickets for RedisTickets {
    fn post(&self, count: usize) {
        self.0
            .count
            .fetch_add(count.min(MAX_WAITING), Ordering::Relaxed);
        self.0.grown.notify_one();
    }
}

impl RedisTickets {
    /// Posts what is wanted, until `end`.
    pub async fn deliver(self, queue: RedisQueue, end: CancellationToken) {
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
            let posted = match timeout(POST_LIMIT, queue.post(count)).await {
                Ok(posted) => posted,
                Err(_) => Err("it does not answer".into()),
            };
            match posted {
                Ok(()) if away => {
                    away = false;
                    tracing::info!("tickets go through Redis again");
                }
                // What comes now goes together.
                Ok(()) => sleep(POST_PAUSE).await,
                Err(error) => {
                    figures().troubled(Work::Tickets);
                    if !away {
                        tracing::warn!(%error, "tickets cannot be posted; workers look at the table each second");
                    }
                    away = true;
                    queue.renew();
                    let pause = tokio::time::sleep(PAUSE);
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
