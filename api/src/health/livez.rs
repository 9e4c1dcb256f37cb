//! `GET /livez`.

use poem_openapi::{ApiResponse, OpenApi, payload::PlainText};

use crate::tags::Tags;

/// Says that the program runs.
pub(crate) struct Livez;

#[derive(ApiResponse)]
pub(super) enum HealthResponse {
    /// It is.
    #[oai(status = 200)]
    Healthy(PlainText<String>),
}

impl HealthResponse {
    /// The answer.
    pub(super) fn ok() -> Self {
        Self::Healthy(PlainText("ok\n".to_owned()))
    }
}

#[allow(clippy::unused_async, reason = "operations are async by form")]
#[OpenApi(tag = "Tags::Health")]
impl Livez {
    /// Whether the program runs.
    #[oai(path = "/livez", method = "get", operation_id = "livez")]
    async fn livez(&self) -> HealthResponse {
        HealthResponse::ok()
    }
}
