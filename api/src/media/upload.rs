//! `POST /medias/files/{resource}` and `POST /medias/files/{resource}/{key}`.

use std::sync::Arc;

use media_domain::{
    caller::Caller,
    media::{MediaPath, PathError},
};
use media_services::Services;
use poem::Request;
use poem_openapi::{ApiResponse, OpenApi, param::Path};

use super::{
    fields::MediaResource, find::RequestedMedia, parameters::project_of,
    precondition::write_precondition,
};
use crate::{
    caller::{ReadCaller, WriteCaller},
    jsonapi::{ApiError, ErrorCode, JsonApiResponse},
    links::create::{LinkCreator, LinkDocument},
    openapi_tags::Tags,
    resource::document::ResourceDocument,
};

mod fields;
mod form;
mod form_or_link;
pub(crate) mod receive;

use form::UploadForm;
use form_or_link::FormOrLink;
use receive::{Target, UploadReceiver};

/// Uploads a media.
pub(crate) struct UploadMedia {
    pub(super) services: Arc<Services>,
    pub(super) receiver: UploadReceiver,
    pub(super) links: Arc<LinkCreator>,
}

#[derive(ApiResponse)]
enum UploadResponse {
    /// The stored media.
    #[oai(status = 200)]
    Stored(JsonApiResponse<ResourceDocument<MediaResource>>),
}

#[derive(ApiResponse)]
enum UploadOrLinkResponse {
    /// The stored media.
    #[oai(status = 200)]
    Stored(JsonApiResponse<ResourceDocument<MediaResource>>),
    /// The link, if the path ends in `links` and the body is a document.
    #[oai(status = 201)]
    LinkCreated(JsonApiResponse<LinkDocument>),
}

#[OpenApi(tag = "Tags::Medias")]
impl UploadMedia {
    /// Upload a media without a key.
    ///
    /// Expects form data with a file field named `media`. Replaces the media at this path; with `If-Match` or
    /// `If-None-Match`, only if the condition holds, otherwise the answer is 412.
    #[oai(
        path = "/medias/files/:resource",
        method = "post",
        operation_id = "uploadMedia"
    )]
    async fn upload(
        &self,
        caller: WriteCaller,
        request: &Request,
        /// The resource to store the media in.
        resource: Path<String>,
        form: UploadForm,
    ) -> Result<UploadResponse, ApiError> {
        let media = self.store(&caller, request, &resource, None, form).await?;
        Ok(UploadResponse::Stored(media))
    }

    /// Upload a media, or create a link to one without a key.
    ///
    /// Expects form data with a file field named `media`. Replaces the media at this path; with `If-Match` or
    /// `If-None-Match`, only if the condition holds, otherwise the answer is 412. If the path ends in `links` and the
    /// body is a document, creates a signed link to the media without a key instead: anyone who has the link can use it
    /// until it expires.
    #[oai(
        path = "/medias/files/:resource/:key",
        method = "post",
        operation_id = "uploadMediaByKey"
    )]
    async fn upload_by_key(
        &self,
        // A link needs only read access; `store` requires write access.
        caller: ReadCaller,
        request: &Request,
        /// The resource to store the media in.
        resource: Path<String>,
        /// The key within the resource, or `links`.
        key: Path<String>,
        body: FormOrLink,
    ) -> Result<UploadOrLinkResponse, ApiError> {
        match body {
            FormOrLink::Form(form) => {
                let media = self
                    .store(&caller, request, &resource, Some(&key), form)
                    .await?;
                Ok(UploadOrLinkResponse::Stored(media))
            }
            FormOrLink::Link(link) => {
                let requested = RequestedMedia::new(&resource, None);
                let link = self
                    .links
                    .create(&caller, request, requested, link.0)
                    .await?;
                Ok(UploadOrLinkResponse::LinkCreated(link))
            }
        }
    }
}

impl UploadMedia {
    async fn store(
        &self,
        caller: &Caller,
        request: &Request,
        resource: &str,
        key: Option<&str>,
        form: UploadForm,
    ) -> Result<JsonApiResponse<ResourceDocument<MediaResource>>, ApiError> {
        let creator = caller.creator_for(&project_of(request)?)?;
        let path = MediaPath::new(resource, key).map_err(|PathError { field, error }| {
            ApiError::at_parameter(ErrorCode::InvalidValue, field, error.to_string())
        })?;
        let condition = write_precondition(request);
        self.services
            .medias
            .check_write(&path, &creator, &condition)
            .await?;
        let target = Target {
            path,
            creator,
            condition,
        };
        let media = self.receiver.receive(target, form).await?;
        let document = ResourceDocument::with_all_fields(&media);
        Ok(JsonApiResponse(document))
    }
}
