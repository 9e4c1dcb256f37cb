//! `/livez` and `/readyz`.

use std::time::Duration;

use media_shared::services::Services;
use poem_openapi::{ApiResponse, OpenApi, payload::PlainText};
use tokio::time::timeout;

use crate::{
    Tags,
    jsonapi::{ApiError, ErrorCode},
};

/// How long the parts have to answer.
const LIMIT: Duration = Duration::from_secs(2);

/// Tells whether the service lives and can serve.
pub struct HealthApi {
    services: Services,
}

#[derive(ApiResponse)]
enum HealthResponse {
    /// It does.
    #[oai(status = 200)]
    Well(PlainText<String>),
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
        match timeout(LIMIT, self.check()).await {
            Ok(Ok(())) => Ok(HealthResponse::Well(PlainText("ok\n".to_owned()))),
            _ => Err(ApiError::new(
                ErrorCode::Unavailable,
                "the database or the storage does not answer; the service's log says more",
            )),
        }
    }
}

impl HealthApi {
    /// On these services.
    pub fn new(services: Services) -> Self {
        Self { services }
    }

    async fn check(&self) -> Result<(), ApiError> {
        self.services.database.reader().ping().await?;
        Ok(self.services.store.check().await?)
    }
}
