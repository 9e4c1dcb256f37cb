//! `/livez`, `/readyz` and `/metrics`.

use media_shared::{metrics, services::Services};
use poem::Request;
use poem_openapi::{ApiResponse, OpenApi, payload::PlainText};
use tokio::{
    sync::Mutex,
    time::{Duration, Instant},
};

use crate::{
    Tags,
    access::caller_of,
    jsonapi::{ApiError, ErrorCode},
};

/// For how long a look at the parts is believed.
const FRESH: Duration = Duration::from_millis(500);

/// Tells whether the service lives, whether it can serve, and how much it has to do.
pub struct HealthApi {
    services: Services,
    /// When the parts were last looked at, and whether they were there.
    known: Mutex<Option<(Instant, bool)>>,
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

    /// Whether the program can serve: database and storage answer, or did within the last half second.
    /// 503 if not.
    #[oai(path = "/readyz", method = "get", operation_id = "readyz")]
    async fn readyz(&self) -> Result<HealthResponse, ApiError> {
        if self.is_ready().await {
            return Ok(HealthResponse::Well(PlainText("ok\n".to_owned())));
        }
        Err(ApiError::new(
            ErrorCode::Unavailable,
            "the database or the storage does not answer; the service's log says more",
        ))
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
    /// Anybody may ask, as often as they like: they all share one look.
    async fn is_ready(&self) -> bool {
        let mut known = self.known.lock().await;
        if let Some((_, ready)) = known.filter(|(looked, _)| looked.elapsed() < FRESH) {
            return ready;
        }
        let checked = self.services.check().await;
        if let Err(error) = &checked {
            tracing::warn!(%error, "not ready");
        }
        *known = Some((Instant::now(), checked.is_ok()));
        checked.is_ok()
    }

    /// On these services.
    pub fn new(services: Services) -> Self {
        Self {
            services,
            known: Mutex::new(None),
        }
    }
}
