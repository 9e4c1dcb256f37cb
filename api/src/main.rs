//! `media-api`: serves, on the database and storage that the configuration names.

use std::sync::Arc;

use anyhow::Context as _;
use clap::Parser;
use media_shared::{
    config::Settings,
    services::Services,
    shutdown,
    telemetry::{self, Verbosity},
    tickets::local,
};
use tokio::net::TcpListener;

/// Serves the API of the media importer: enters jobs, shows them, and takes and gives media.
#[derive(Parser)]
#[command(name = "media-api", version)]
struct Arguments {
    #[command(flatten)]
    settings: Settings,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Arguments::parse().settings.check()?;
    telemetry::start(Verbosity::Service);
    // Workers in other programs find new jobs in the table within a second.
    let (tickets, _source) = local::local_tickets();
    let services = Services::open(&config, Arc::new(tickets)).await?;
    media_migrations::check(services.database.reader()).await?;
    let listener = TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    tracing::info!("listening on http://{}", listener.local_addr()?);
    let shutdown = shutdown::on_signal()?;
    media_api::serve(services, &config, listener, shutdown).await?;
    Ok(())
}
