//! `GET /metrics`.

use std::sync::Arc;

use media_services::{Services, metrics_exposition};
use poem_openapi::{ApiResponse, OpenApi, payload::PlainText};

use crate::{caller::ReadCaller, jsonapi::ApiError, openapi_tags::Tags};

/// Shows the metrics.
pub(crate) struct Metrics {
    pub(super) services: Arc<Services>,
}

#[derive(ApiResponse)]
enum MetricsResponse {
    /// The metrics in the text format of OpenMetrics.
    #[oai(
        status = 200,
        content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    )]
    Metrics(PlainText<String>),
}

#[OpenApi(tag = "Tags::Health")]
impl Metrics {
    /// The metrics of the service, in the format of OpenMetrics, which Prometheus reads.
    ///
    /// They cover all projects: with authentication, only admins may read them.
    #[oai(path = "/metrics", method = "get", operation_id = "metrics")]
    async fn metrics(&self, caller: ReadCaller) -> Result<MetricsResponse, ApiError> {
        caller.check_may_read_metrics()?;
        let exposition = metrics_exposition::exposition(&self.services).await;
        Ok(MetricsResponse::Metrics(PlainText(exposition)))
    }
}
