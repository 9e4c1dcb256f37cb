//! The HTTP API of the media importer.

use std::{net::SocketAddr, time::Duration};

use media_services::{Services, config::Config};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

mod audit;
mod authentication;
mod caller;
mod client_address;
mod content_coding;
mod endpoint;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod health;
mod jobs;
mod jsonapi;
mod links;
mod media;
mod middleware;
mod multipart;
mod openapi_spec;
mod openapi_tags;
mod operation_group;
mod resource;
mod routes;
mod server;
mod static_page;
mod time;

use authentication::Authentication;
use middleware::rate_limit::RateLimit;
use server::{BodyPace, ConnectionLimits, ServerLimits};

/// The longest time that a shutdown takes beyond the configured grace period: to close the connections of clients and
/// to dependencies, and to flush the traces.
pub const STOP_LIMIT: Duration = server::CLOSE_LIMIT
    .saturating_add(media_services::CLOSE_LIMIT)
    .saturating_add(media_telemetry::FLUSH_LIMIT);

/// Listens at an address; [`serve`] takes the listener.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    server::listen(address)
}

/// Serves on a listener until `shutdown`. Requests in progress then have the configured grace period to end.
pub async fn serve(
    services: Services,
    config: &Config,
    listener: TcpListener,
    shutdown: CancellationToken,
) -> std::io::Result<()> {
    let (authentication, jwks_refresh) = tokio::select! {
        opened = Authentication::open(config.authentication.as_ref()) => opened?,
        () = shutdown.cancelled() => return Ok(()),
    };
    let rate_limit = RateLimit::new(&config.http);
    let endpoint = endpoint::endpoint(
        services,
        config,
        authentication,
        rate_limit.clone(),
        shutdown.clone(),
    );
    let serving = server::serve(
        listener,
        endpoint,
        limits(config),
        shutdown,
        config.shutdown_grace,
    );
    tokio::select! {
        served = serving => served,
        never = jwks_refresh.run() => match never {},
        never = rate_limit.sweep() => match never {},
    }
}

/// The limits of connections and bodies.
fn limits(config: &Config) -> ServerLimits {
    let http = &config.http;
    ServerLimits {
        connections: ConnectionLimits {
            total: http.max_connections,
            per_address: http.address_connections.min(http.max_connections),
            proxies: http.trusted_proxies.clone(),
        },
        pace: BodyPace {
            min_rate: http.upload_min_rate,
            window: config.worker.limits.stall,
        },
    }
}
