//! `POST /links`.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use media_domain::{
    clock::{to_micros, to_rfc3339},
    ids::MediaId,
    job::MediaRange,
    media::{MediaPath, PathError, WritePrecondition},
    permissions::{MediaReadScope, ProjectSelector},
};
use media_services::Services;
use poem::Request;
use poem_openapi::{ApiResponse, OpenApi};
use url::Url;

use super::{
    document::{
        LinkAttributes, LinkDocument, LinkMethod, LinkResource, LinkType, NewLinkAttributes,
        NewLinkDocument,
    },
    signed_link::{DEFAULT_LIFETIME, LinkSigner, MAX_LIFETIME},
    upload_permit::UploadPermit,
};
use crate::{
    audit::{self, Action},
    caller::ReadCaller,
    jsonapi::{ApiError, ErrorCode, Implementation, JsonApiBody, JsonApiResponse},
    media::{
        disposition::Disposition,
        find::{RequestedMedia, find},
        headers,
    },
    openapi_tags::Tags,
    resource::query_string::refuse_parameters,
};

/// The most types that an upload link may accept.
const MAX_TYPES: usize = 32;

/// Creates signed links.
pub(crate) struct CreateLink {
    pub(crate) services: Arc<Services>,
    /// None if no key is configured.
    pub(crate) signer: Option<LinkSigner>,
    /// The URL of the service for clients.
    pub(crate) public_url: Option<Url>,
}

#[derive(ApiResponse)]
enum LinkResponse {
    /// The link.
    #[oai(status = 201)]
    Created(JsonApiResponse<LinkDocument>),
}

#[OpenApi(tag = "Tags::Links")]
impl CreateLink {
    /// Create a link to a media.
    ///
    /// A signed link: anyone who has it can use it until it expires, to download one media or to upload one. If no
    /// signing key is configured, the answer is 409 `links_not_configured`.
    #[oai(path = "/links", method = "post", operation_id = "createLink")]
    async fn create(
        &self,
        caller: ReadCaller,
        request: &Request,
        body: JsonApiBody<NewLinkDocument>,
    ) -> Result<LinkResponse, ApiError> {
        refuse_parameters(request)?;
        let signer = self.signer.as_ref().ok_or_else(|| {
            ApiError::new(
                ErrorCode::LinksNotConfigured,
                "this service does not create links: its operator has to set MEDIA_URL_SIGNING_KEY",
            )
        })?;
        let attributes = body.0.data.attributes;
        let expires = to_micros(Utc::now()) + lifetime(&attributes)?;
        let project = project(&attributes)?;
        let method = attributes.method.unwrap_or_default();
        let (id, path) = match method {
            LinkMethod::Download => {
                self.download(&caller, signer, attributes, &project, expires)
                    .await?
            }
            LinkMethod::Upload => {
                self.upload(&caller, signer, attributes, &project, expires)
                    .await?
            }
        };
        Ok(LinkResponse::Created(JsonApiResponse(LinkDocument {
            jsonapi: Implementation::default(),
            data: LinkResource {
                kind: LinkType::Links,
                id: id.to_string(),
                attributes: LinkAttributes {
                    url: self.absolute(&path),
                    method,
                    expires_at: to_rfc3339(whole_seconds(expires)),
                },
            },
        })))
    }
}

impl CreateLink {
    /// Signs a link to a media that the caller may read in its own projects.
    async fn download(
        &self,
        caller: &ReadCaller,
        signer: &LinkSigner,
        attributes: NewLinkAttributes,
        project: &ProjectSelector,
        expires: DateTime<Utc>,
    ) -> Result<(MediaId, String), ApiError> {
        let for_uploads = "is for links with the method `upload`";
        if attributes.max_bytes.is_some() {
            return Err(invalid("max_bytes", for_uploads));
        }
        if attributes.accept_types.is_some() {
            return Err(invalid("accept_types", for_uploads));
        }
        let scope = MediaReadScope {
            projects: caller.scope.clone(),
            public: false,
        };
        let requested = RequestedMedia::new(&attributes.resource, attributes.key.as_deref());
        let media = find(&self.services, requested, &scope, project).await?;
        audit::record(Action::LinkMedia, media.id, caller);
        let disposition = attributes.disposition.map(Disposition::as_str);
        let query = signer.sign(media.id, disposition, expires);
        let path = format!("{}?{query}", headers::path_to("files", &media));
        Ok((media.id, path))
    }

    /// Signs a link to upload a media that the caller may create or replace.
    async fn upload(
        &self,
        caller: &ReadCaller,
        signer: &LinkSigner,
        attributes: NewLinkAttributes,
        project: &ProjectSelector,
        expires: DateTime<Utc>,
    ) -> Result<(MediaId, String), ApiError> {
        if attributes.disposition.is_some() {
            return Err(invalid(
                "disposition",
                "is for links with the method `download`",
            ));
        }
        let creator = caller.creator_for(project)?;
        let path = MediaPath::new(&attributes.resource, attributes.key.as_deref())
            .map_err(|PathError { field, error }| invalid(field, &error.to_string()))?;
        let condition = WritePrecondition::default();
        self.services
            .medias
            .check_write(&path, &creator, &condition)
            .await?;
        let url = headers::path_of("files", path.resource(), path.key());
        let mut permit = UploadPermit::new(path, creator, expires);
        permit.max_bytes = max_bytes(&attributes)?;
        permit.accept_types = accept_types(&attributes)?;
        let query = signer
            .sign_upload(&permit)
            .map_err(|error| ApiError::internal("upload link", &error))?;
        // The link has an id of its own: there may be no media yet.
        let id = MediaId::generate();
        audit::record(Action::LinkUpload, id, caller);
        Ok((id, format!("{url}?{query}")))
    }

    /// Converts a path to a URL, if the service's URL is configured.
    fn absolute(&self, path: &str) -> String {
        match &self.public_url {
            Some(url) => format!("{}{path}", url.as_str().trim_end_matches('/')),
            None => path.to_owned(),
        }
    }
}

fn invalid(attribute: &str, detail: &str) -> ApiError {
    ApiError::at_pointer(
        ErrorCode::InvalidValue,
        format!("/data/attributes/{attribute}"),
        format!("`{attribute}` {detail}"),
    )
}

fn lifetime(attributes: &NewLinkAttributes) -> Result<TimeDelta, ApiError> {
    let Some(seconds) = attributes.expires_in else {
        return Ok(DEFAULT_LIFETIME);
    };
    TimeDelta::try_seconds(seconds)
        .filter(|lifetime| (TimeDelta::seconds(1)..=MAX_LIFETIME).contains(lifetime))
        .ok_or_else(|| invalid("expires_in", "must be 1 to 604800 seconds"))
}

fn project(attributes: &NewLinkAttributes) -> Result<ProjectSelector, ApiError> {
    let Some(text) = &attributes.project_id else {
        return Ok(ProjectSelector::Any);
    };
    ProjectSelector::new(text).map_err(|error| invalid("project_id", &error.to_string()))
}

fn max_bytes(attributes: &NewLinkAttributes) -> Result<Option<u64>, ApiError> {
    attributes
        .max_bytes
        .map(|bytes| {
            u64::try_from(bytes)
                .ok()
                .filter(|bytes| *bytes > 0)
                .ok_or_else(|| invalid("max_bytes", "must be 1 or more"))
        })
        .transpose()
}

fn accept_types(attributes: &NewLinkAttributes) -> Result<Option<Vec<MediaRange>>, ApiError> {
    let Some(types) = &attributes.accept_types else {
        return Ok(None);
    };
    if types.is_empty() || types.len() > MAX_TYPES {
        return Err(invalid("accept_types", "must have 1 to 32 types"));
    }
    let types = types.iter().map(|text| MediaRange::new(text));
    types
        .collect::<Result<_, _>>()
        .map(Some)
        .map_err(|error| invalid("accept_types", &error.to_string()))
}

fn whole_seconds(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(time.timestamp(), 0).unwrap_or(time)
}
