//! `POST /medias/files/{resource}` and `POST /medias/files/{resource}/{key}`, and the parts that `PUT` shares with
//! them.

use std::sync::Arc;

use media_database::entities::media;
use media_domain::{
    caller::Caller,
    media::{MediaPath, PathError},
    permissions::ProjectSelector,
};
use media_services::Services;
use poem::Request;
use poem_openapi::{ApiResponse, OpenApi, param::Path};

use super::{
    fields::MediaResource,
    find::RequestedMedia,
    headers::{etag, path_to},
    parameters::{PROJECT, take_project},
    precondition::write_precondition,
};
use crate::{
    jsonapi::{ApiError, ErrorCode, JsonApiResponse},
    links::{redeem::LinkVerifier, upload_caller::UploadCaller, upload_permit::PERMIT},
    openapi_tags::Tags,
    resource::{document::ResourceDocument, query_string::QueryString},
};

mod digests;
mod fields;
mod form;
pub(super) mod raw;
pub(super) mod receive;

pub(super) use fields::parse_boolean;
use form::UploadForm;
use receive::{Target, UploadReceiver};

/// The permissions and the path of uploads, by all methods.
pub(super) struct Uploads {
    pub(super) services: Arc<Services>,
    pub(super) receiver: UploadReceiver,
    pub(super) links: LinkVerifier,
}

/// Uploads a media.
pub(crate) struct UploadMedia {
    pub(super) uploads: Arc<Uploads>,
}

#[derive(ApiResponse)]
pub(super) enum UploadResponse {
    /// The stored media, which replaces another one.
    #[oai(status = 200)]
    Replaced(
        JsonApiResponse<ResourceDocument<MediaResource>>,
        /// The sha256 of the bytes, quoted.
        #[oai(header = "ETag")]
        String,
    ),
    /// The stored media, which is new.
    #[oai(status = 201)]
    Created(
        JsonApiResponse<ResourceDocument<MediaResource>>,
        /// The sha256 of the bytes, quoted.
        #[oai(header = "ETag")]
        String,
        /// The path of the media.
        #[oai(header = "Location")]
        String,
    ),
}

impl UploadResponse {
    pub(super) fn new(media: &media::Model) -> Self {
        let document = JsonApiResponse(ResourceDocument::with_all_fields(media));
        // A replacement keeps the time of creation, and changes that of the last change.
        if media.created_at == media.updated_at {
            Self::Created(document, etag(media), path_to("files", media))
        } else {
            Self::Replaced(document, etag(media))
        }
    }
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
        caller: UploadCaller,
        request: &Request,
        /// The resource to store the media in.
        resource: Path<String>,
        form: UploadForm,
    ) -> Result<UploadResponse, ApiError> {
        let requested = RequestedMedia::new(&resource, None);
        self.upload_requested(&caller, request, requested, form)
            .await
    }

    /// Upload a media.
    ///
    /// Expects form data with a file field named `media`. Replaces the media at this path; with `If-Match` or
    /// `If-None-Match`, only if the condition holds, otherwise the answer is 412.
    #[oai(
        path = "/medias/files/:resource/:key",
        method = "post",
        operation_id = "uploadMediaByKey"
    )]
    async fn upload_by_key(
        &self,
        caller: UploadCaller,
        request: &Request,
        /// The resource to store the media in.
        resource: Path<String>,
        /// The key within the resource.
        key: Path<String>,
        form: UploadForm,
    ) -> Result<UploadResponse, ApiError> {
        let requested = RequestedMedia::new(&resource, Some(&key));
        self.upload_requested(&caller, request, requested, form)
            .await
    }
}

impl UploadMedia {
    async fn upload_requested(
        &self,
        caller: &UploadCaller,
        request: &Request,
        requested: RequestedMedia<'_>,
        form: UploadForm,
    ) -> Result<UploadResponse, ApiError> {
        let query = QueryString::from_request(request);
        let Uploads { receiver, .. } = &*self.uploads;
        let target = |project| {
            let query = QueryString::from_request(request);
            Box::pin(
                self.uploads
                    .target(caller, request, requested, query, project),
            )
        };
        let (target, form) = if form_names_project(caller, &query) {
            let form = Box::pin(receiver.open_form(form, None)).await?;
            (target(form.project()).await?, form)
        } else {
            let target = target(ProjectSelector::Any).await?;
            let form = Box::pin(receiver.open_form(form, Some(&target))).await?;
            (target, form)
        };
        let media = Box::pin(receiver.receive_form(target, form)).await?;
        Ok(UploadResponse::new(&media))
    }
}

/// Whether neither the query nor the token decides on the project, so that the form may name it.
fn form_names_project(caller: &Caller, query: &QueryString) -> bool {
    caller.may_choose_project()
        && [PERMIT, PROJECT]
            .iter()
            .all(|name| query.peek(name).is_none())
}

impl Uploads {
    /// Checks that the caller, or the signed link in the query, may write to a path now. `named` is the project that the
    /// rest of the request names; it counts if the query has none.
    pub(super) async fn target(
        &self,
        caller: &Caller,
        request: &Request,
        RequestedMedia { resource, key }: RequestedMedia<'_>,
        mut query: QueryString,
        named: ProjectSelector,
    ) -> Result<Target, ApiError> {
        let permit = self.links.take_upload(&mut query)?;
        let project = match take_project(&mut query)? {
            ProjectSelector::Any => named,
            project => project,
        };
        query.finish()?;
        let path = MediaPath::new(resource, key).map_err(|PathError { field, error }| {
            ApiError::at_parameter(ErrorCode::InvalidValue, field, error.to_string())
        });
        let condition = write_precondition(request);
        let max_bytes = self.receiver.max_bytes;
        let target = match permit {
            Some(permit) => {
                let path = path?;
                permit.check_path(&path)?;
                Target {
                    path,
                    creator: permit.creator(),
                    condition,
                    max_bytes: permit.max_bytes.map_or(max_bytes, |own| own.min(max_bytes)),
                    accept_types: permit.accept_types,
                    may_be_public: false,
                }
            }
            None => Target {
                creator: caller.creator_for(&project)?,
                path: path?,
                condition,
                max_bytes,
                accept_types: None,
                may_be_public: true,
            },
        };
        self.services
            .medias
            .check_write(&target.path, &target.creator, &target.condition)
            .await?;
        Ok(target)
    }
}
