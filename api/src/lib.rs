//! The HTTP face: enters jobs, shows them, and takes and gives media.

use std::{any::Any, time::Duration};

use media_shared::{config::Config, services::Services, telemetry::panic_message};
use poem::{
    Endpoint, EndpointExt as _, IntoResponse, Route, Server, listener::TcpAcceptor,
    middleware::CatchPanic,
};
use poem_openapi::{LicenseObject, OpenApiService, Tags as TagsDerive};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod drain;
mod health;
mod jobs;
mod jsonapi;
mod listing;
mod medias;

use drain::Drain;
use health::HealthApi;
use jobs::JobsApi;
use jsonapi::ApiError;
use medias::MediasApi;

/// How long a connection may be idle.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);

/// The parts of the API.
#[derive(TagsDerive)]
enum Tags {
    /// The job records: enter, view, list, delete.
    Jobs,
    /// The media records and their bytes.
    Medias,
    /// Whether the service lives and can serve.
    Health,
}

/// Serves on a listener until `shutdown`, then lets running requests end within the configured
/// grace.
pub async fn serve(
    services: Services,
    config: &Config,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let acceptor = TcpAcceptor::from_tokio(listener)?;
    Server::new_with_acceptor(acceptor)
        .name("media-api")
        .idle_timeout(IDLE_TIMEOUT)
        .run_with_graceful_shutdown(
            routes(services, config),
            shutdown.cancelled_owned(),
            Some(config.shutdown_grace),
        )
        .await
}

/// All routes. Whatever goes wrong beneath leaves as a JSON:API error document.
fn routes(services: Services, config: &Config) -> impl Endpoint + use<> {
    let operations = (
        JobsApi::new(services.clone()),
        MediasApi::new(
            services.clone(),
            config.max_bytes.as_u64(),
            config.worker.limits.stall,
        ),
        HealthApi::new(services),
    );
    let service = OpenApiService::new(operations, "Media importer", env!("CARGO_PKG_VERSION"))
        .description("Imports media from anywhere, keeps it, and serves it back.")
        .license(LicenseObject::new("MIT"));
    Route::new()
        .at("/openapi.json", service.spec_endpoint())
        .nest("/docs", service.swagger_ui())
        .nest("/", service)
        .catch_all_error(|error| async move { ApiError::from_framework(&error).into_response() })
        .with(Drain)
        .with(CatchPanic::new().with_handler(|panic: Box<dyn Any + Send>| panicked(&*panic)))
}

fn panicked(panic: &(dyn Any + Send)) -> poem::Response {
    ApiError::internal("panic", &panic_message(panic)).into_response()
}
