//! The HTTP face: enters jobs, shows them, and takes and gives media.

use std::{any::Any, sync::Arc, time::Duration};

use media_shared::{config::Config, services::Services, telemetry::panic_message};
use poem::{
    Endpoint, EndpointExt as _, IntoResponse, Request, Response, Route, Server,
    error::MethodNotAllowedError, http::header, listener::TcpAcceptor, middleware::CatchPanic,
};
use poem_openapi::{LicenseObject, OpenApiService, Tags as TagsDerive};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod access;
mod authentication;
mod described;
mod drain;
mod health;
mod jobs;
mod jsonapi;
mod medias;
mod negotiation;
mod operation_paths;
mod origin_guard;
mod request_figures;
mod resource;
mod signed_link;

use authentication::Authentication;
use described::Described;
use drain::Drain;
use health::HealthApi;
use jobs::JobsApi;
use jsonapi::ApiError;
use medias::MediasApi;
use negotiation::Negotiation;
use operation_paths::OperationPaths;
use origin_guard::OriginGuard;

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
    let (authentication, upkeep) = tokio::select! {
        opened = Authentication::open(config.authentication.as_ref()) => opened?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let serving = Server::new_with_acceptor(acceptor)
        .name("media-api")
        .idle_timeout(IDLE_TIMEOUT)
        .run_with_graceful_shutdown(
            routes(services, config, authentication, shutdown.clone()),
            shutdown.cancelled_owned(),
            Some(config.shutdown_grace),
        );
    tokio::select! {
        served = serving => served,
        never = upkeep.run() => match never {},
    }
}

/// All operations.
type Operations = Described<(JobsApi, MediasApi, HealthApi)>;

/// All routes. Whatever goes wrong beneath leaves as a JSON:API error document.
fn routes(
    services: Services,
    config: &Config,
    authentication: Authentication,
    shutdown: CancellationToken,
) -> impl Endpoint + use<> {
    let operations: Operations = Described((
        JobsApi::new(services.clone(), shutdown),
        MediasApi::new(services.clone(), config),
        HealthApi::new(services),
    ));
    let paths = OperationPaths::of::<Operations>();
    let counted = paths.clone();
    let service = OpenApiService::new(operations, "Media importer", env!("CARGO_PKG_VERSION"))
        .description("Imports media from anywhere, keeps it, and serves it back.")
        .license(LicenseObject::new("MIT"));
    let guarded = authentication.is_on();
    let spec = described::complete(&service.spec(), guarded);
    let page = described::page(&service.swagger_ui_html(), &service.spec(), &spec);
    Route::new()
        .at("/openapi.json", described::document(spec))
        .at("/docs", page)
        .nest("/", service)
        .with(authentication)
        .with(Negotiation)
        // Without authentication, the service listens on loopback addresses alone.
        .with_if(!guarded, OriginGuard)
        .around(move |endpoint, request| request_figures::count(endpoint, request, counted.clone()))
        .around(move |endpoint, request| answer(endpoint, request, paths.clone()))
        .with(Drain)
        .with(CatchPanic::new().with_handler(|panic: Box<dyn Any + Send>| panicked(&*panic)))
}

/// Turns errors into documents.
async fn answer<E: Endpoint>(
    endpoint: Arc<E>,
    request: Request,
    paths: OperationPaths,
) -> poem::Result<Response> {
    let path = request.uri().path().to_owned();
    match endpoint.call(request).await {
        Ok(output) => Ok(output.into_response()),
        Err(error) if error.is::<MethodNotAllowedError>() => {
            let error = ApiError::from_framework(&error);
            Ok(error
                .with_header(header::ALLOW, paths.allowed_at(&path))
                .into_response())
        }
        Err(error) => Ok(ApiError::from_framework(&error).into_response()),
    }
}

fn panicked(panic: &(dyn Any + Send)) -> poem::Response {
    ApiError::internal("panic", &panic_message(panic)).into_response()
}
