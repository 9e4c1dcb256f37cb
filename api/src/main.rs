//! `media-api`: serves the API on the configured database and storage.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser;
use media_shared::{
    config::Settings, exit, open_files, probe, services::Services, shutdown, telemetry,
};

/// Serves the API of the media importer: creates and shows jobs, receives and serves media.
#[derive(Parser)]
#[command(name = "media-api", version)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
    /// Check whether the program that listens at MEDIA_LISTEN is ready, and exit
    #[arg(long)]
    probe: bool,
}

#[tokio::main]
async fn main() -> ExitCode {
    media_migrations::private_files::by_default();
    match Box::pin(run(Arguments::parse())).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => exit::report("media-api", error.as_ref()),
    }
}

async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let config = arguments.settings.check()?;
    if arguments.probe {
        return probe::ready(config.listen).context("the program is not ready");
    }
    let telemetry = telemetry::start("media-api", &config.telemetry)?;
    open_files::raise_limit();
    let shutdown = shutdown::on_signal()?;
    // Workers are other processes, so there is no local channel to them. Without Redis they poll the table.
    let services = Services::open(&config, None, None).await?;
    services.check_schema().await?;
    services.warn_unless_writable().await;
    let listener = media_api::listen(config.listen).with_context(|| {
        format!(
            "cannot listen on {}; choose another address with MEDIA_LISTEN",
            config.listen
        )
    })?;
    tracing::info!("listening on http://{}", listener.local_addr()?);
    media_api::serve(services.clone(), &config, listener, shutdown).await?;
    services.close().await?;
    telemetry.finish().await;
    Ok(())
}
