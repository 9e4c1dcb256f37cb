//! The endpoints `/livez`, `/readyz` and `/metrics` of the worker.

use std::time::Duration;

use media_shared::{metrics, services::Services};
use poem::{
    EndpointExt as _, IntoResponse, Response, Route, Server, get, handler, http::StatusCode,
    listener::TcpAcceptor, web::Data,
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Time for open requests after the end.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(2);

/// Serves the endpoints until `end`.
pub(crate) async fn run(services: Services, listener: TcpListener, end: CancellationToken) {
    let routes = Route::new()
        .at("/livez", get(livez))
        .at("/readyz", get(readyz))
        .at("/metrics", get(exposition))
        .data(services);
    let served = match TcpAcceptor::from_tokio(listener) {
        Ok(acceptor) => {
            Server::new_with_acceptor(acceptor)
                .name("media-worker")
                .run_with_graceful_shutdown(routes, end.cancelled_owned(), Some(SHUTDOWN_TIMEOUT))
                .await
        }
        Err(error) => Err(error),
    };
    if let Err(error) = served {
        tracing::error!(%error, "health and metrics are no longer served");
    }
}

#[handler]
fn livez() -> &'static str {
    "ok\n"
}

/// Whether the database and storage answer.
#[handler]
async fn readyz(Data(services): Data<&Services>) -> Response {
    match services.check().await {
        Ok(()) => "ok\n".into_response(),
        Err(error) => unavailable(&error),
    }
}

#[handler]
async fn exposition(Data(services): Data<&Services>) -> Response {
    let exposition = metrics::exposition(services).await;
    exposition
        .with_content_type(metrics::MEDIA_TYPE)
        .into_response()
}

fn unavailable(error: &dyn std::fmt::Display) -> Response {
    tracing::warn!(%error, "not ready");
    let text = "the database or storage does not answer; see the log\n";
    (StatusCode::SERVICE_UNAVAILABLE, text).into_response()
}
