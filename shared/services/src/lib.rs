//! Services: the configuration, and everything that a program opens at its start and passes to the API and the worker.
//!
//! This crate joins all others of `shared/`. It must not know HTTP handlers or job classes.

use std::{sync::Arc, time::Duration};

use media_migrations::{
    SchemaError,
    exit::{advice_about_database, is_misconfigured},
    file_lock::FileLock,
};
use sea_orm::DbErr;
use tokio::{
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub mod config;
pub mod exit;
pub mod fd_limit;
pub mod metrics_exposition;
pub mod readiness;
pub mod shutdown;
pub mod wakeups;

use crate::{
    config::{Config, SecretFile},
    wakeups::{
        NoopNotifier, Notifier,
        local::LocalNotifier,
        redis::{RedisNotifier, RedisQueue, RedisQueueError},
    },
};
use media_database::{
    Database, DatabaseFailure,
    blob_repository::BlobRepository,
    host_limits::HostLimits,
    job_repository::{JobRepository, SecretsCipher},
    media_repository::MediaRepository,
};
use media_domain::clock::Clock;
use media_storage::{BlobStore, StorageError};

/// The repositories, storage and wake-ups.
#[derive(Clone)]
pub struct Services {
    /// The database.
    pub database: Database,
    /// The repository of jobs.
    pub jobs: JobRepository,
    /// The repository of media.
    pub medias: MediaRepository,
    /// The repository of stored objects.
    pub blobs: BlobRepository,
    /// The repository of the limits of hosts.
    pub host_limits: HostLimits,
    /// The storage.
    pub store: Arc<dyn BlobStore>,
    /// Wakes workers.
    pub notifier: Arc<dyn Notifier>,
    background: Background,
}

/// The tasks that run as long as the services are open.
#[derive(Clone, Default)]
struct Background {
    tasks: TaskTracker,
    end: CancellationToken,
}

/// A service that cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database in `DATABASE_URL`.
    #[error("the database in DATABASE_URL cannot be opened{}", advice_about_database(.0))]
    Database(#[from] DbErr),
    /// The storage in `MEDIA_STORAGE_URL`.
    #[error("the storage in MEDIA_STORAGE_URL cannot be opened")]
    Storage(#[from] StorageError),
    /// The Redis in `REDIS_URL`.
    #[error("REDIS_URL cannot be used")]
    Redis(#[from] RedisQueueError),
}

/// The time within which the database has to answer when a program starts.
const DATABASE_START_LIMIT: Duration = Duration::from_secs(10);
/// The pause between two tries.
const DATABASE_START_INTERVAL: Duration = Duration::from_millis(500);

/// The interval at which files with secrets are read.
const SECRET_FILES_INTERVAL: Duration = Duration::from_secs(2);

/// The time limit of a readiness check.
const CHECK_LIMIT: Duration = Duration::from_secs(2);

/// The time limit of closing.
pub const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// The reason why the service is not ready.
#[derive(Debug, thiserror::Error)]
pub enum Unready {
    /// The database does not answer as it should.
    #[error("the database cannot be used: {0}")]
    Database(#[from] DbErr),
    /// The storage does not answer as it should.
    #[error("the storage cannot be used: {0}")]
    Storage(#[from] StorageError),
    /// One of them takes too long.
    #[error("the database or the storage does not answer in time")]
    Slow,
}

impl Services {
    /// Opens the services that the configuration names. Without Redis, `local` wakes the workers of this process, if any.
    /// `lock` is the lock on the SQLite file, if the caller holds it.
    pub async fn open(
        config: &Config,
        local: Option<LocalNotifier>,
        lock: Option<FileLock>,
    ) -> Result<Self, OpenError> {
        let (url, connections) = (&config.database, config.database_connections);
        let database = when_available(async || match &lock {
            Some(lock) => Database::connect_locked(url, connections, lock.clone()).await,
            None => Database::connect(url, connections).await,
        })
        .await?;
        let store = media_storage::open(&config.storage).await?;
        let (clock, lease) = (Clock::system(), config.worker.lease);
        let background = Background::default();
        let mut medias = MediaRepository::new(database.clone(), clock.clone());
        // A process with workers of its own is alone with its SQLite file.
        if local.is_some() {
            medias = medias.caching_lookups();
        }
        background.follow_secrets(config.secret_files.clone(), database.clone());
        let notifier: Arc<dyn Notifier> = match (&config.redis, local) {
            (Some(url), _) => {
                let queue = RedisQueue::open(url)?;
                queue.check_mode().await?;
                Arc::new(background.notify_through(queue))
            }
            (None, Some(local)) => Arc::new(local),
            (None, None) => Arc::new(NoopNotifier),
        };
        Ok(Self {
            jobs: JobRepository::new(database.clone(), clock.clone(), lease)
                .max_unfinished_jobs(config.projects.max_unfinished_jobs)
                .cipher(config.encryption_key.as_ref().map(SecretsCipher::new)),
            medias,
            blobs: BlobRepository::new(database.clone(), clock.clone(), lease)
                .max_stored_bytes(config.projects.stored_bytes),
            host_limits: HostLimits::new(database.clone(), clock),
            database,
            store,
            notifier,
            background,
        })
    }

    /// Logs an error if the database takes no writes. Until it does, the program is not ready, but it serves.
    pub async fn warn_unless_writable(&self) {
        if let Err(error) = self.database.check_writable().await {
            let advice = match media_database::classify(&error) {
                DatabaseFailure::NoSpace => "there is no room left on its disk; free some",
                _ => "see the error",
            };
            tracing::error!(%error, "the database takes no writes: {advice}");
        }
    }

    /// Makes sure that the schema fits this program, without changing it.
    pub async fn check_schema(&self) -> Result<(), SchemaError> {
        when_available(async || media_migrations::check(self.database.reader()).await).await
    }

    /// Makes sure that the database takes writes and the storage answers, within a time limit.
    pub async fn check(&self) -> Result<(), Unready> {
        let checks = async {
            self.database.check_writable().await?;
            Ok(self.store.check().await?)
        };
        match timeout(CHECK_LIMIT, checks).await {
            Ok(checked) => checked,
            Err(_) => Err(Unready::Slow),
        }
    }

    /// Ends the background tasks and closes the connections to the database, within [`CLOSE_LIMIT`].
    pub async fn close(self) -> Result<(), DbErr> {
        self.background.end.cancel();
        self.background.tasks.close();
        let closing = async {
            self.background.tasks.wait().await;
            self.database.close().await
        };
        timeout(CLOSE_LIMIT, closing).await.unwrap_or(Ok(()))
    }
}

/// An error that may be one of the database.
trait OfDatabase {
    fn database_error(&self) -> Option<&DbErr>;
}

impl OfDatabase for DbErr {
    fn database_error(&self) -> Option<&DbErr> {
        Some(self)
    }
}

impl OfDatabase for SchemaError {
    fn database_error(&self) -> Option<&DbErr> {
        match self {
            Self::Unreadable(error) => Some(error),
            Self::Behind(_) | Self::Ahead(_) => None,
        }
    }
}

/// Does what needs the database, again and again while it is not there: it may start later than the program.
async fn when_available<T, E: OfDatabase>(
    mut work: impl AsyncFnMut() -> Result<T, E>,
) -> Result<T, E> {
    let end = Instant::now() + DATABASE_START_LIMIT;
    loop {
        let error = match work().await {
            Ok(done) => return Ok(done),
            Err(error) => error,
        };
        let may_come =
            |error: &&DbErr| media_database::is_unavailable(error) && !is_misconfigured(error);
        let reason = error.database_error().filter(may_come);
        let Some(reason) = reason.filter(|_| Instant::now() < end) else {
            return Err(error);
        };
        tracing::warn!(error = %reason, "the database is not there yet");
        sleep(DATABASE_START_INTERVAL).await;
    }
}

impl Background {
    /// Reads secrets again when their files change.
    fn follow_secrets(&self, files: Vec<SecretFile>, database: Database) {
        if files.is_empty() {
            return;
        }
        let (files, end) = (Arc::new(files), self.end.clone());
        let refresh = async move {
            loop {
                sleep(SECRET_FILES_INTERVAL).await;
                let files = Arc::clone(&files);
                let refreshed =
                    spawn_blocking(move || files.iter().filter(|file| file.refresh()).count());
                if refreshed.await.unwrap_or_default() > 0
                    && let Err(error) = database.renew_url()
                {
                    tracing::warn!(%error, "the new DATABASE_URL cannot be used");
                }
            }
        };
        self.tasks
            .spawn(async move { end.run_until_cancelled(refresh).await });
    }

    fn notify_through(&self, queue: RedisQueue) -> RedisNotifier {
        let notifier = RedisNotifier::default();
        self.tasks
            .spawn(notifier.clone().run(queue, self.end.clone()));
        notifier
    }
}
