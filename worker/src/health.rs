//! `/livez`, `/readyz` and `/metrics` of the worker.

use std::time::Duration;

use media_services::Services;
use media_telemetry::metrics;
use poem::{
    EndpointExt as _, IntoResponse, Response, Route, Server, get, handler, http::StatusCode,
    listener::TcpAcceptor, web::Data,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long answers may go on at the end.
const GRACE: Duration = Duration::from_secs(2);

/// Answers on a listener until `end`.
pub(crate) async fn run(services: Services, listener: TcpListener, end: CancellationToken) {
    let routes = Route::new()
        .at("/livez", get(livez))
        .at("/readyz", get(readyz))
        .at("/metrics", get(figures))
        .data(services);
    let served = match TcpAcceptor::from_tokio(listener) {
        Ok(acceptor) => {
            Server::new_with_acceptor(acceptor)
                .name("media-worker")
                .run_with_graceful_shutdown(routes, end.cancelled_owned(), Some(GRACE))
                .await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::error!(%error, "health and metrics are no longer answered");
    }
}

/// Whether the program lives.
#[handler]
fn livez() -> &'static str {
    "ok\n"
}

/// Whether it can import: the database and the storage answer.
#[handler]
async fn readyz(Data(services): Data<&Services>) -> Response {
    match services.check().await {
        Ok(()) => "ok\n".into_response(),
        Err(error) => unavailable(&error),
    }
}

/// The figures that one steers by.
#[handler]
async fn figures(Data(services): Data<&Services>) -> Response {
    let exposition = metrics::exposition(services).await;
    exposition
        .with_content_type(metrics::MEDIA_TYPE)
        .into_response()
}

fn unavailable(error: &dyn std::fmt::Display) -> Response {
    tracing::warn!(%error, "not ready");
    let text = "the database or the storage does not answer; the log says more\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}
