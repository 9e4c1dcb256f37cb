//! What the API and the worker both stand on, opened once and handed to each.

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

use crate::{
    blob_ledger::BlobLedger,
    blob_store::{self, BlobStore, StorageError},
    clock::Clock,
    config::{Config, SecretFile},
    database::{self, Database, DatabaseFailure},
    job_ledger::{JobLedger, SecretsCipher},
    media_ledger::MediaLedger,
    origin_ledger::OriginLedger,
    tickets::{
        Tickets, Unheard,
        local::LocalTickets,
        redis::{RedisQueue, RedisQueueError, RedisTickets},
    },
};

/// The books, storage and tickets.
#[derive(Clone)]
pub struct Services {
    /// The tables.
    pub database: Database,
    /// The book of jobs.
    pub jobs: JobLedger,
    /// The book of media.
    pub medias: MediaLedger,
    /// The book of stored objects.
    pub blobs: BlobLedger,
    /// The book of origins.
    pub origins: OriginLedger,
    /// The stored objects.
    pub store: Arc<dyn BlobStore>,
    /// Where to say that there is work.
    pub tickets: Arc<dyn Tickets>,
    background: Background,
}

/// What runs as long as the parts are open.
#[derive(Clone, Default)]
struct Background {
    tasks: TaskTracker,
    end: CancellationToken,
}

/// Why the parts could not be opened.
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

/// The time that the database has to come up when a program starts, and the pause between two looks.
const DATABASE_START_LIMIT: Duration = Duration::from_secs(10);
const DATABASE_START_INTERVAL: Duration = Duration::from_millis(500);

/// The pause between two looks at files with secrets.
const SECRET_FILES_INTERVAL: Duration = Duration::from_secs(2);

/// How long the parts have to answer a check.
const CHECK_LIMIT: Duration = Duration::from_secs(2);

/// How long the parts may take to close.
pub const CLOSE_LIMIT: Duration = Duration::from_secs(5);

/// Why the service cannot do its work now.
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
    /// Opens what the configuration names. Without Redis, tickets go to `local`, the workers of this
    /// process; without those they are not heard.
    /// `lock` is the lock on the SQLite file, if the caller has it already.
    pub async fn open(
        config: &Config,
        local: Option<LocalTickets>,
        lock: Option<FileLock>,
    ) -> Result<Self, OpenError> {
        let (url, connections) = (&config.database, config.database_connections);
        let database = when_available(async || match &lock {
            Some(lock) => Database::connect_locked(url, connections, lock.clone()).await,
            None => Database::connect(url, connections).await,
        })
        .await?;
        let store = blob_store::open(&config.storage).await?;
        let (clock, lease) = (Clock::system(), config.worker.lease);
        let background = Background::default();
        let mut medias = MediaLedger::new(database.clone(), clock.clone());
        // A process that has workers of its own is alone with its tables, if they are on this machine.
        if local.is_some() {
            medias = medias.caching_lookups();
        }
        background.follow(config.secret_files.clone(), database.clone());
        let tickets: Arc<dyn Tickets> = match (&config.redis, local) {
            (Some(url), _) => {
                let queue = RedisQueue::open(url)?;
                queue.check_mode().await?;
                Arc::new(background.deliver_tickets(queue))
            }
            (None, Some(local)) => Arc::new(local),
            (None, None) => Arc::new(Unheard),
        };
        Ok(Self {
            jobs: JobLedger::new(database.clone(), clock.clone(), lease)
                .most_open(config.projects.open_jobs)
                .cipher(config.encryption_key.as_ref().map(SecretsCipher::new)),
            medias,
            blobs: BlobLedger::new(database.clone(), clock.clone(), lease)
                .most_stored(config.projects.stored_bytes),
            origins: OriginLedger::new(database.clone(), clock),
            database,
            store,
            tickets,
            background,
        })
    }

    /// Says in the log if the database takes no writes now. Until it does, the program is not ready; it can
    /// serve all the same.
    pub async fn warn_unless_writable(&self) {
        if let Err(error) = self.database.check_writable().await {
            let advice = match database::classify(&error) {
                DatabaseFailure::NoSpace => "there is no room left on its disk; free some",
                _ => "see the error",
            };
            tracing::error!(%error, "the database takes no writes: {advice}");
        }
    }

    /// Makes sure that this program can run on the schema, without changing it.
    pub async fn check_schema(&self) -> Result<(), SchemaError> {
        when_available(async || media_migrations::check(self.database.reader()).await).await
    }

    /// Whether the database takes writes and the storage answers, now and soon.
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

    /// Ends what runs beside the parts, and closes the connections to the database; those that are in
    /// use for longer than a while are cut off.
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
        let may_come = |error: &&DbErr| database::is_unavailable(error) && !is_misconfigured(error);
        let reason = error.database_error().filter(may_come);
        let Some(reason) = reason.filter(|_| Instant::now() < end) else {
            return Err(error);
        };
        tracing::warn!(error = %reason, "the database is not there yet");
        sleep(DATABASE_START_INTERVAL).await;
    }
}

impl Background {
    /// Reads secrets again whose files have changed.
    fn follow(&self, files: Vec<SecretFile>, database: Database) {
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

    fn deliver_tickets(&self, queue: RedisQueue) -> RedisTickets {
        let tickets = RedisTickets::default();
        self.tasks
            .spawn(tickets.clone().deliver(queue, self.end.clone()));
        tickets
    }
}
