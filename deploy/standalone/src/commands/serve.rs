//! `media serve`: runs the whole service until a signal stops it.

use std::{path::Path, process::ExitCode};

use media_database::DatabaseUrl;
use media_migrations::exit::{ExitKind, Failure};
use media_services::{
    config::{Config, Settings},
    fd_limit, shutdown,
};
use media_storage::StorageUrl;
use tokio_util::sync::CancellationToken;

use crate::{
    data_lock::{DataLock, Locking},
    service::{self, Role, Service},
};

/// Runs the command.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let config = settings.check()?;
    let telemetry = media_telemetry::start("media", &config.telemetry)?;
    fd_limit::raise_limit();
    let shutdown = shutdown::on_signal()?;
    let service = AnnouncedService::start(&config, shutdown).await?;
    greet(&service.url(), &config);
    service.join().await?;
    telemetry.finish().await;
    Ok(ExitCode::SUCCESS)
}

/// A running service whose lock announces its URL to other programs.
pub(crate) struct AnnouncedService {
    lock: DataLock,
    service: Service,
    shutdown: CancellationToken,
}

impl AnnouncedService {
    /// Locks the data, listens, starts the service and announces its URL.
    pub(crate) async fn start(
        config: &Config,
        shutdown: CancellationToken,
    ) -> anyhow::Result<Self> {
        // An address that cannot be used leaves no data behind. If there is data, a service that runs on it is the
        // better explanation.
        let listener = service::listen(config.listen);
        let listener = match listener {
            Err(error) if !DataLock::is_present(config) => return Err(error),
            listener => listener,
        };
        let lock = match DataLock::try_acquire(config)? {
            Locking::Acquired(lock) => lock,
            Locking::HeldBy(url) => {
                let url = url.map(|url| format!(" (at {url})")).unwrap_or_default();
                let sentence = format!(
                    "another service uses this data directory{url}; stop it first, or choose other data with \
                     DATABASE_URL and MEDIA_STORAGE_URL"
                );
                return Err(Failure::new(ExitKind::Unavailable, sentence).into());
            }
        };
        let role = Role::ApiAndWorker;
        let service = Service::start(config, &lock, listener?, role, shutdown.clone()).await?;
        lock.announce(&service.url())?;
        Ok(Self {
            lock,
            service,
            shutdown,
        })
    }

    /// The URL of the service.
    pub(crate) fn url(&self) -> String {
        self.service.url()
    }

    /// Waits until the service has ended. Withdraws its URL as soon as the shutdown begins.
    pub(crate) async fn join(self) -> anyhow::Result<()> {
        let Self {
            lock,
            service,
            shutdown,
        } = self;
        let withdraw = async {
            shutdown.cancelled().await;
            lock.withdraw()
        };
        let (ended, withdrawn) = tokio::join!(service.join(), withdraw);
        ended?;
        Ok(withdrawn?)
    }
}

/// Prints the URLs of the service and its documentation, and the place of its data, at any log level.
pub(crate) fn greet(url: &str, config: &Config) {
    eprintln!(
        "The service is at {url}, its documentation at {url}/docs.\nIts data is in {} and {}. Ctrl-C stops it.",
        database_place(&config.database),
        storage_place(&config.storage)
    );
}

fn database_place(database: &DatabaseUrl) -> String {
    match database {
        DatabaseUrl::Sqlite { path } => shown_path(path),
        // The URL has a password.
        DatabaseUrl::Postgres { .. } => "PostgreSQL (DATABASE_URL)".to_owned(),
    }
}

fn storage_place(storage: &StorageUrl) -> String {
    match storage {
        StorageUrl::Directory(path) => shown_path(path),
        StorageUrl::S3(location) => format!("s3://{}/{}", location.bucket, location.prefix),
    }
}

fn shown_path(path: &Path) -> String {
    let absolute = std::path::absolute(path);
    absolute.as_deref().unwrap_or(path).display().to_string()
}
