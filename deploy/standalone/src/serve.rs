//! `media serve`: runs the whole service until a signal stops it.

use std::process::ExitCode;

use media_migrations::exit::{ExitKind, Failure};
use media_shared::{
    config::{Config, Settings},
    open_files, shutdown, telemetry,
};
use tokio_util::sync::CancellationToken;

use crate::{
    data_lock::{DataLock, Locking},
    service::{self, Service},
};

/// Runs the command.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let config = settings.check()?;
    let telemetry = telemetry::start("media", &config.telemetry)?;
    open_files::raise_limit();
    let shutdown = shutdown::on_signal()?;
    let service = AnnouncedService::start(&config, shutdown).await?;
    greet(&service.url());
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
        let listener = service::listen(config.listen)?;
        let service = Service::start(config, &lock, listener, shutdown.clone()).await?;
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

/// Prints the URLs of the service and its documentation, at any log level.
pub(crate) fn greet(url: &str) {
    eprintln!("The service is at {url}, its documentation at {url}/docs. Ctrl-C stops it.");
}
