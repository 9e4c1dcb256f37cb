//! `PUT /medias/files/{resource}` and `PUT /medias/files/{resource}/{key}`: uploads without a form.

use std::sync::Arc;

use media_domain::permissions::ProjectSelector;
use poem::Request;
use poem_openapi::{OpenApi, param::Path};

use super::{
    find::RequestedMedia,
    upload::{UploadResponse, Uploads, parse_boolean, raw::RawFile},
};
use crate::{
    jsonapi::ApiError,
    links::upload_caller::UploadCaller,
    openapi_tags::Tags,
    resource::query_string::{QueryString, invalid},
};

/// Uploads a media whose bytes are the body of the request.
pub(crate) struct PutMedia {
    pub(super) uploads: Arc<Uploads>,
}

#[OpenApi(tag = "Tags::Medias")]
impl PutMedia {
    /// Put a media without a key.
    ///
    /// The body is the file, of the type in `Content-Type` and with the name in `Content-Disposition`. Replaces the
    /// media at this path; with `If-Match` or `If-None-Match`, only if the condition holds, otherwise the answer is
    /// 412.
    #[oai(
        path = "/medias/files/:resource",
        method = "put",
        operation_id = "putMedia"
    )]
    async fn put(
        &self,
        caller: UploadCaller,
        request: &Request,
        /// The resource to store the media in.
        resource: Path<String>,
        file: RawFile,
    ) -> Result<UploadResponse, ApiError> {
        let requested = RequestedMedia::new(&resource, None);
        self.put_requested(&caller, request, requested, file).await
    }

    /// Put a media.
    ///
    /// The body is the file, of the type in `Content-Type` and with the name in `Content-Disposition`, or else the last
    /// segment of the key. Replaces the media at this path; with `If-Match` or `If-None-Match`, only if the condition
    /// holds, otherwise the answer is 412.
    #[oai(
        path = "/medias/files/:resource/:key",
        method = "put",
        operation_id = "putMediaByKey"
    )]
    async fn put_by_key(
        &self,
        caller: UploadCaller,
        request: &Request,
        /// The resource to store the media in.
        resource: Path<String>,
        /// The key within the resource.
        key: Path<String>,
        file: RawFile,
    ) -> Result<UploadResponse, ApiError> {
        let requested = RequestedMedia::new(&resource, Some(&key));
        self.put_requested(&caller, request, requested, file).await
    }
}

impl PutMedia {
    async fn put_requested(
        &self,
        caller: &UploadCaller,
        request: &Request,
        requested: RequestedMedia<'_>,
        file: RawFile,
    ) -> Result<UploadResponse, ApiError> {
        let mut query = QueryString::from_request(request);
        let public = query.take("public")?.map_or(Ok(false), |text| {
            parse_boolean(&text).ok_or_else(|| invalid("public", "must be `true` or `false`"))
        })?;
        let project = ProjectSelector::Any;
        let target = self
            .uploads
            .target(caller, request, requested, query, project);
        let target = Box::pin(target).await?;
        let stored = Box::pin(self.uploads.receiver.receive_raw(target, file, public)).await;
        // The body has no fields that an error could point to.
        let media = stored.map_err(ApiError::without_source)?;
        Ok(UploadResponse::new(&media))
    }
}
