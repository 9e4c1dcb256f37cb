//! `DELETE /medias/files/{resource}` and `DELETE /medias/files/{resource}/{key}`.

use std::sync::Arc;

use media_database::media_repository::DeleteError;
use media_domain::permissions::MediaReadScope;
use media_services::Services;
use poem::Request;
use poem_openapi::{ApiResponse, OpenApi, param::Path};

use super::{
    find::{RequestedMedia, find, no_such_media},
    parameters::project_of,
    precondition::write_precondition,
};
use crate::{
    audit::{self, Action},
    caller::WriteCaller,
    jsonapi::ApiError,
    openapi_tags::Tags,
};

/// Deletes a media.
pub(crate) struct DeleteMedia {
    pub(super) services: Arc<Services>,
}

#[derive(ApiResponse)]
enum DeleteResponse {
    /// The media was deleted.
    #[oai(status = 204)]
    Deleted,
}

#[OpenApi(tag = "Tags::Medias")]
impl DeleteMedia {
    /// Delete a media without a key.
    ///
    /// With `If-Match` or `If-None-Match`, deletes it only if the condition holds; otherwise the answer is 412.
    #[oai(
        path = "/medias/files/:resource",
        method = "delete",
        operation_id = "deleteMedia"
    )]
    async fn delete(
        &self,
        caller: WriteCaller,
        request: &Request,
        /// The resource of the media.
        resource: Path<String>,
    ) -> Result<DeleteResponse, ApiError> {
        let requested = RequestedMedia::new(&resource, None);
        self.delete_requested(&caller, request, requested).await
    }

    /// Delete a media.
    ///
    /// With `If-Match` or `If-None-Match`, deletes it only if the condition holds; otherwise the answer is 412.
    #[oai(
        path = "/medias/files/:resource/:key",
        method = "delete",
        operation_id = "deleteMediaByKey"
    )]
    async fn delete_by_key(
        &self,
        caller: WriteCaller,
        request: &Request,
        /// The resource of the media.
        resource: Path<String>,
        /// The key within the resource.
        key: Path<String>,
    ) -> Result<DeleteResponse, ApiError> {
        let requested = RequestedMedia::new(&resource, Some(&key));
        self.delete_requested(&caller, request, requested).await
    }
}

impl DeleteMedia {
    async fn delete_requested(
        &self,
        caller: &WriteCaller,
        request: &Request,
        requested: RequestedMedia<'_>,
    ) -> Result<DeleteResponse, ApiError> {
        let project = project_of(request)?;
        let scope = MediaReadScope {
            projects: caller.reach.projects.clone(),
            public: false,
        };
        let media = find(&self.services, requested, &scope, &project).await?;
        let condition = write_precondition(request);
        let repository = &self.services.medias;
        match repository
            .delete_if(media.id, &caller.reach, condition)
            .await
        {
            Ok(true) => {
                audit::record(Action::DeleteMedia, media.id, caller);
                Ok(DeleteResponse::Deleted)
            }
            Ok(false) => Err(no_such_media()),
            Err(DeleteError::Denied(denied)) => Err(denied.into()),
            Err(DeleteError::PreconditionFailed(failed)) => Err(failed.into()),
            Err(DeleteError::Database(error)) => Err(error.into()),
        }
    }
}
