//! `DELETE /jobs/{resource_id}`.

use std::sync::Arc;

use media_services::Services;
use poem::Request;
use poem_openapi::{ApiResponse, OpenApi, param::Path};

use super::find::{find_own, no_such_job};
use crate::{
    audit::{self, Action},
    caller::WriteCaller,
    jsonapi::ApiError,
    openapi_tags::Tags,
    resource::query_string::refuse_parameters,
};

/// Deletes a job.
pub(crate) struct DeleteJob {
    pub(super) services: Arc<Services>,
}

#[derive(ApiResponse)]
enum DeleteResponse {
    /// The job was deleted.
    #[oai(status = 204)]
    Deleted,
}

#[OpenApi(tag = "Tags::Jobs")]
impl DeleteJob {
    /// Delete a job.
    ///
    /// A running job is cancelled first. Media that the job has stored is not deleted.
    #[oai(
        path = "/jobs/:resource_id",
        method = "delete",
        operation_id = "deleteJob"
    )]
    async fn delete(
        &self,
        caller: WriteCaller,
        request: &Request,
        /// The job's id.
        resource_id: Path<String>,
    ) -> Result<DeleteResponse, ApiError> {
        refuse_parameters(request)?;
        let id = find_own(&self.services, &resource_id, &caller).await?;
        if !self.services.jobs.delete(id).await? {
            return Err(no_such_job());
        }
        audit::record(Action::DeleteJob, id, &caller);
        Ok(DeleteResponse::Deleted)
    }
}
