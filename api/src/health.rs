//! `/livez`, `/readyz` and `/metrics`.

use media_shared::{metrics, services::Services};
use poem::Request;
use poem_openapi::{ApiResponse, OpenApi, payload::PlainText};

use crate::{
    Tags,
    access::caller_of,
    jsonapi::{ApiError, ErrorCode},
};

/// Tells whether the service lives, whether it can serve, and how much it has to do.
pub struct HealthApi {
    services: Services,
}

#[derive(ApiResponse)]
enum HealthResponse {
    /// It does.
    #[oai(status = 200)]
    Well(PlainText<String>),
}

#[derive(ApiResponse)]
enum MetricsResponse {
    /// The figures, a line each.
    #[oai(
        status = 200,
        content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    )]
    Figures(PlainText<String>),
}

#[allow(clippy::unused_async, reason = "operations are async by form")]
#[OpenApi(tag = "Tags::Health")]
impl HealthApi {
    /// Whether the program lives.
    #[oai(path = "/livez", method = "get", operation_id = "livez")]
    async fn livez(&self) -> HealthResponse {
        HealthResponse::Well(PlainText("ok\n".to_owned()))
    }

    /// Whether the program can serve: database and storage answer. 503 if not.
    #[oai(path = "/readyz", method = "get", operation_id = "readyz")]
    async fn readyz(&self) -> Result<HealthResponse, ApiError> {
        match self.services.check().await {
            Ok(()) => Ok(HealthResponse::Well(PlainText("ok\n".to_owned()))),
            Err(error) => {
                tracing::warn!(%error, "not ready");
                Err(ApiError::new(
                    ErrorCode::Unavailable,
                    "the database or the storage does not answer; the service's log says more",
                ))
            }
        }
    }

    /// The figures that one steers by, in the format of OpenMetrics, which Prometheus reads.
    ///
    /// They count the things of all projects: with authentication, they are for admins.
    #[oai(path = "/metrics", method = "get", operation_id = "metrics")]
    async fn metrics(&self, request: &Request) -> Result<MetricsResponse, ApiError> {
        caller_of(request).sees_figures()?;
        let exposition = metrics::exposition(&self.services).await;
        Ok(MetricsResponse::Figures(PlainText(exposition)))
    }
}

impl HealthApi {
    /// On these services.
    pub fn new(services: Services) -> Self {
        Self { services }
    }
}
