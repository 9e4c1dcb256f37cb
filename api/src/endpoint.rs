//! Composes operations, pages and middleware into the endpoint of the service.

use std::sync::Arc;

use media_services::{Services, config::Config};
use poem::{Endpoint, EndpointExt as _, Route, middleware::CatchPanic};
use poem_openapi::{LicenseObject, OpenApi as _, OpenApiService};
use tokio_util::sync::CancellationToken;

use crate::{
    authentication::{Authentication, authenticate},
    health::{self, HealthOperations},
    jobs::{self, JobOperations},
    media::{self, MediaOperations},
    middleware::{
        canonical_path::canonicalize_path,
        compression::compress,
        cors::allow_origins,
        error_documents::{answer_errors, answer_panic},
        head_limits::check_head,
        negotiation::negotiate,
        origin_guard::guard_origin,
        rate_limit::{RateLimit, limit_rate, limit_refusals},
        request_limits::{RequestLimits, limit_requests},
        request_telemetry::observe,
        security_headers::add_security_headers,
    },
    openapi_spec::{self, Documented},
    operation_group::operations,
    routes::{RouteTable, match_route},
    static_page::StaticPage,
};

operations! {
    /// All operations.
    Operations {
        jobs: JobOperations,
        media: MediaOperations,
        health: HealthOperations,
    }
}

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json; charset=utf-8";

/// Creates the endpoint of the service. It answers every error with a JSON:API error document.
pub(crate) fn endpoint(
    services: Services,
    config: &Config,
    authentication: Authentication,
    rate_limit: RateLimit,
    shutdown: CancellationToken,
) -> impl Endpoint + use<> {
    let services = Arc::new(services);
    let operations = Documented(Operations {
        jobs: jobs::operations(&services, config.projects.user_max_priority, shutdown),
        media: media::operations(&services, config),
        health: health::operations(&services),
    });
    let routes = RouteTable::new(&Operations::meta());
    let service = OpenApiService::new(operations, "Media importer", env!("CARGO_PKG_VERSION"))
        .description("Imports media from any URL, stores it and serves it.")
        .license(LicenseObject::new("MIT").url("https://opensource.org/license/mit"))
        .server("/");
    let guarded = authentication.is_on();
    let spec = openapi_spec::complete(&service.spec(), guarded);
    let page = openapi_spec::page(&service.swagger_ui_html(), &service.spec(), &spec);
    let limits = RequestLimits::new(&config.http);
    let origins = Arc::new(config.http.cors.clone());
    let (error_routes, refusal_limit) = (routes.clone(), rate_limit.clone());
    Route::new()
        .at("/openapi.json", StaticPage::new(JSON, spec).route())
        .at("/docs", StaticPage::new(HTML, page).route())
        .nest("/", service)
        .around(move |endpoint, request| limit_requests(endpoint, request, limits.clone()))
        .around(move |endpoint, request| limit_rate(endpoint, request, rate_limit.clone()))
        // On the heap: the futures of all layers in each other are too large for the stack of a thread.
        .boxed()
        .around(move |endpoint, request| authenticate(endpoint, request, authentication.clone()))
        .around(move |endpoint, request| limit_refusals(endpoint, request, refusal_limit.clone()))
        .around(negotiate)
        .around(compress)
        .around(move |endpoint, request| guard_origin(endpoint, request, guarded))
        .boxed()
        .around(check_head)
        .around(move |endpoint, request| answer_errors(endpoint, request, error_routes.clone()))
        .with(CatchPanic::new().with_handler(answer_panic))
        .around(observe)
        .boxed()
        .around(move |endpoint, request| allow_origins(endpoint, request, Arc::clone(&origins)))
        .around(move |endpoint, request| add_security_headers(endpoint, request, guarded))
        .around(move |endpoint, request| match_route(endpoint, request, routes.clone()))
        .around(canonicalize_path)
}
