//! `media-worker`: runs jobs with the configured database and storage.

use std::{process::ExitCode, sync::Arc};

use anyhow::Context as _;
use clap::Parser;
use media_shared::{
    config::Settings, exit, open_files, probe, services::Services, shutdown, telemetry,
    tickets::local,
};
use media_worker::egress::SystemResolver;

/// Imports media: claims jobs from the database, fetches their URLs, and stores and records the files.
#[derive(Parser)]
#[command(name = "media-worker", version)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Check whether the worker that listens at MEDIA_WORKER_LISTEN is ready, and exit
    #[arg(long)]
    probe: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    media_migrations::private_files::by_default();
    match Box::pin(run(Arguments::parse())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report("media-worker", error.as_ref()),
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.settings.check()?;
    if arguments.probe {
        let address = config
            .worker
            .listen
            .context("MEDIA_WORKER_LISTEN is not set")?;
        return probe::ready(address).context("the worker is not ready");
    }
    let telemetry = telemetry::start("media-worker", &config.telemetry)?;
    open_files::raise_limit();
    let shutdown = shutdown::on_signal()?;
    let tickets = local::local_tickets();
    let services = Services::open(&config, Some(tickets.0.clone()), None).await?;
    services.check_schema().await?;
    services.warn_unless_writable().await;
    let resolver = Arc::new(SystemResolver);
    media_worker::run(services.clone(), tickets, resolver, &config, shutdown).await?;
    services.close().await?;
    telemetry.finish().await;
    Ok(())
}
