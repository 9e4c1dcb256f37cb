//! `media serve`: the whole service, until it is told to stop.

use std::process::ExitCode;

use media_migrations::exit::{ExitKind, Failure};
use media_services::{
    config::{Config, Settings},
    fd_limit, shutdown,
};
use tokio_util::sync::CancellationToken;

use crate::{
    data_lock::{DataLock, Locking},
    service::{self, Service},
};

/// Serves.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let config = settings.check()?;
    let telemetry = media_telemetry::start("media", &config.telemetry)?;
    fd_limit::raise_limit();
    let shutdown = shutdown::on_signal()?;
    let served = Served::start(&config, shutdown).await?;
    greet(&served.url());
    served.join().await?;
    telemetry.finish().await;
    Ok(ExitCode::SUCCESS)
}

/// A service that others can find.
pub(crate) struct Served {
    lock: DataLock,
    service: Service,
    shutdown: CancellationToken,
}

impl Served {
    /// Locks the database, listens, starts the service and says where it is.
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

    /// Where it can be reached.
    pub(crate) fn url(&self) -> String {
        self.service.url()
    }

    /// Waits until it has ended; takes its address back as soon as it is told to.
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

/// Says where things are, whatever is logged.
pub(crate) fn greet(url: &str) {
    eprintln!("The service is at {url}, its documentation at {url}/docs. Ctrl-C stops it.");
}
