//! `media serve`: the whole service, until it is told to stop.

use std::process::ExitCode;

use anyhow::bail;
use media_shared::{
    config::{Config, Settings},
    shutdown,
    telemetry::{self, Verbosity},
};
use tokio_util::sync::CancellationToken;

use crate::{
    data_lock::{DataLock, Locking},
    service::{self, Service},
};

/// Serves.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<ExitCode> {
    let config = settings.check()?;
    telemetry::start(Verbosity::Service);
    let shutdown = shutdown::on_signal()?;
    let (_lock, service) = start(&config, shutdown).await?;
    greet(&service.url());
    service.join().await?;
    Ok(ExitCode::SUCCESS)
}

/// Locks the data directory, listens, and starts the service. The lock is to be held for as long as
/// the service runs.
pub(crate) async fn start(
    config: &Config,
    shutdown: CancellationToken,
) -> anyhow::Result<(DataLock, Service)> {
    let mut lock = match DataLock::try_acquire(config)? {
        Locking::Acquired(lock) => lock,
        Locking::HeldBy(url) => bail!(
            "another service uses this data directory{}; stop it first, or choose other data with DATABASE_URL and MEDIA_STORAGE_URL",
            url.map(|url| format!(" (at {url})")).unwrap_or_default()
        ),
    };
    let listener = service::listen(config.listen).await?;
    let service = Service::start(config, listener, shutdown).await?;
    lock.announce(&service.url())?;
    Ok((lock, service))
}

/// Says where things are.
pub(crate) fn greet(url: &str) {
    tracing::info!("the service is at {url}");
    tracing::info!("its documentation is at {url}/docs");
}
