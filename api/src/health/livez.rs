//! `GET /livez`.

use poem_openapi::{ApiResponse, OpenApi, payload::PlainText};

use crate::openapi_tags::Tags;

/// Reports that the program runs.
pub(crate) struct Livez;

#[derive(ApiResponse)]
pub(super) enum HealthResponse {
    /// The program runs, or can serve.
    #[oai(status = 200)]
    Healthy(PlainText<String>),
}

impl HealthResponse {
    pub(super) fn ok() -> Self {
        Self::Healthy(PlainText("ok\n".to_owned()))
    }
}

#[allow(
    clippy::unused_async,
    reason = "the framework requires async operations"
)]
#[OpenApi(tag = "Tags::Health")]
impl Livez {
    /// Whether the program runs.
    ///
    /// Uses neither the database nor the storage; see `/readyz` for those.
    #[oai(path = "/livez", method = "get", operation_id = "livez")]
    async fn livez(&self) -> HealthResponse {
        HealthResponse::ok()
    }
}
