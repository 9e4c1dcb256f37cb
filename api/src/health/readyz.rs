//! `GET /readyz`.

use std::sync::Arc;

use media_services::Services;
use poem_openapi::OpenApi;
use tokio::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::livez::HealthResponse;
use crate::{
    jsonapi::{ApiError, ErrorCode},
    openapi_tags::Tags,
};

/// How long the result of a check is reused.
const CHECK_TTL: Duration = Duration::from_millis(500);

/// Reports whether the program can serve.
pub(crate) struct Readyz {
    services: Arc<Services>,
    last_check: Mutex<Option<Check>>,
}

/// The result of a check of the dependencies.
#[derive(Clone, Copy)]
struct Check {
    at: Instant,
    ready: bool,
}

#[OpenApi(tag = "Tags::Health")]
impl Readyz {
    /// Whether the program can serve.
    ///
    /// The answer is 200 if the database and the storage answer, or did within the last half second, and 503 otherwise.
    #[oai(path = "/readyz", method = "get", operation_id = "readyz")]
    async fn readyz(&self) -> Result<HealthResponse, ApiError> {
        if self.is_ready().await {
            return Ok(HealthResponse::ok());
        }
        Err(ApiError::new(
            ErrorCode::Unavailable,
            "the database or the storage does not answer; see the service's log",
        ))
    }
}

impl Readyz {
    /// Creates the operation. The first request checks the dependencies.
    pub(super) fn new(services: Arc<Services>) -> Self {
        Self {
            services,
            last_check: Mutex::new(None),
        }
    }

    /// Checks the dependencies, once for all requests within [`CHECK_TTL`].
    async fn is_ready(&self) -> bool {
        let mut last = self.last_check.lock().await;
        if let Some(check) = last.filter(|check| check.at.elapsed() < CHECK_TTL) {
            return check.ready;
        }
        let checked = self.services.check().await;
        if let Err(error) = &checked {
            tracing::warn!(%error, "not ready");
        }
        let ready = checked.is_ok();
        *last = Some(Check {
            at: Instant::now(),
            ready,
        });
        ready
    }
}
