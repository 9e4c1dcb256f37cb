//! The HTTP face: enters jobs, shows them, and takes and gives media.

use std::{any::Any, net::SocketAddr, sync::Arc, time::Duration};

use media_shared::{
    config::Config,
    services::{self, Services},
    telemetry::{self, panic_message},
};
use poem::{
    Endpoint, EndpointExt as _, IntoResponse, Request, Response, Route,
    error::MethodNotAllowedError, http::header, middleware::CatchPanic,
};
use poem_openapi::{LicenseObject, OpenApiService, Tags as TagsDerive};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod access;
mod audit;
mod authentication;
mod caller_key;
mod caller_shares;
mod client_address;
mod cors;
mod described;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod health;
mod jobs;
mod jsonapi;
mod medias;
mod multipart;
mod negotiation;
mod observed;
mod operation_paths;
mod origin_guard;
mod rate_limit;
mod request_head;
mod request_id;
mod request_limits;
mod resource;
mod security_headers;
mod server;
mod signed_link;
mod static_page;
mod time;

use authentication::Authentication;
use cors::Cors;
use described::Described;
use health::HealthApi;
use jobs::JobsApi;
use jsonapi::ApiError;
use medias::MediasApi;
use negotiation::Negotiation;
use operation_paths::OperationPaths;
use origin_guard::OriginGuard;
use rate_limit::{RateLimit, RefusalLimit};
use request_head::RequestHead;
use request_limits::RequestLimits;
use security_headers::SecurityHeaders;
use server::{BodyPace, ConnectionLimits};
use static_page::StaticPage;

/// How much longer than the configured grace `media-api` may take to stop: its clients' connections, its
/// own and its traces each have their limit.
pub const STOP_LIMIT: Duration = server::CLOSE_LIMIT
    .saturating_add(services::CLOSE_LIMIT)
    .saturating_add(telemetry::FLUSH_LIMIT);

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

/// Listens at an address, for [`serve`].
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    server::listen(address)
}

/// Serves on a listener until `shutdown`, then lets running requests end within the configured
/// grace.
pub async fn serve(
    services: Services,
    config: &Config,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let (authentication, upkeep) = tokio::select! {
        opened = Authentication::open(config.authentication.as_ref()) => opened?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let rate_limit = RateLimit::new(&config.http);
    let guards = (authentication, rate_limit.clone());
    let serving = server::serve(
        listener,
        routes(services, config, guards, shutdown.clone()),
        limits(config),
        shutdown,
        config.shutdown_grace,
    );
    tokio::select! {
        served = serving => served,
        never = upkeep.run() => match never {},
        never = rate_limit.forget() => match never {},
    }
}

/// How many connections there may be, and how fast bodies have to come.
fn limits(config: &Config) -> (ConnectionLimits, BodyPace) {
    let http = &config.http;
    let connections = ConnectionLimits {
        total: http.max_connections,
        per_address: http.address_connections.min(http.max_connections),
        proxies: http.trusted_proxies.clone(),
    };
    let pace = BodyPace {
        min_rate: http.upload_min_rate,
        window: config.worker.limits.stall,
    };
    (connections, pace)
}

/// All operations.
type Operations = Described<(JobsApi, MediasApi, HealthApi)>;

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json; charset=utf-8";

/// All routes. Whatever goes wrong beneath leaves as a JSON:API error document.
fn routes(
    services: Services,
    config: &Config,
    (authentication, rate_limit): (Authentication, RateLimit),
    shutdown: CancellationToken,
) -> impl Endpoint + use<> {
    let operations: Operations = Described((
        JobsApi::new(
            services.clone(),
            config.projects.user_max_priority,
            shutdown,
        ),
        MediasApi::new(services.clone(), config),
        HealthApi::new(services),
    ));
    let paths = OperationPaths::of::<Operations>();
    let seen = paths.clone();
    let service = OpenApiService::new(operations, "Media importer", env!("CARGO_PKG_VERSION"))
        .description("Imports media from anywhere, keeps it, and serves it back.")
        .license(LicenseObject::new("MIT"));
    let guarded = authentication.is_on();
    let spec = described::complete(&service.spec(), guarded);
    let page = described::page(&service.swagger_ui_html(), &service.spec(), &spec);
    Route::new()
        .at("/openapi.json", StaticPage::new(JSON, spec))
        .at("/docs", StaticPage::new(HTML, page))
        .nest("/", service)
        .with(RequestLimits::new(&config.http))
        .with(rate_limit.clone())
        .with(authentication)
        .with(RefusalLimit(rate_limit))
        .with(Negotiation)
        // Without authentication, the service listens on loopback addresses alone.
        .with_if(!guarded, OriginGuard)
        .with(RequestHead)
        .around(move |endpoint, request| answer(endpoint, request, paths.clone()))
        .with(CatchPanic::new().with_handler(|panic: Box<dyn Any + Send>| panicked(&*panic)))
        .around(move |endpoint, request| observed::observe(endpoint, request, seen.clone()))
        .with(Cors(config.http.cors.clone()))
        .with(SecurityHeaders { guarded })
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
