//! `GET /jobs/{resource_id}`.

use std::sync::Arc;

use media_services::Services;
use poem::Request;
use poem_openapi::{OpenApi, param::Path};

use super::{
    document::{JobResponse, included},
    find::find,
};
use crate::{
    caller::ReadCaller,
    jsonapi::{ApiError, JsonApiResponse},
    openapi_tags::Tags,
    resource::{document::ResourceDocument, view::View},
};

/// Shows a job.
pub(crate) struct ShowJob {
    pub(super) services: Arc<Services>,
}

#[OpenApi(tag = "Tags::Jobs")]
impl ShowJob {
    /// Show a job.
    ///
    /// With `included=true`, the answer also contains the media that the job created.
    #[oai(path = "/jobs/:resource_id", method = "get", operation_id = "showJob")]
    async fn show(
        &self,
        caller: ReadCaller,
        request: &Request,
        /// The job's id.
        resource_id: Path<String>,
    ) -> Result<JobResponse, ApiError> {
        let view = View::from_request(request)?;
        let job = find(&self.services, &resource_id, &caller.scope).await?;
        let shown = std::slice::from_ref(&job);
        let included = included(&self.services, &view, shown, &caller.scope).await?;
        let document = ResourceDocument::new(&job, &view, included);
        Ok(JobResponse::Job(JsonApiResponse(document)))
    }
}
