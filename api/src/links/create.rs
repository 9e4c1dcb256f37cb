//! `POST /medias/files/{resource}/{key}/links`.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use media_domain::{
    clock::{to_micros, to_rfc3339},
    permissions::MediaReadScope,
};
use media_services::Services;
use poem::Request;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, param::Path};
use serde::Deserialize;
use url::Url;

use super::signed_link::{DEFAULT_LIFETIME, LinkSigner, MAX_LIFETIME};
use crate::{
    audit::{self, Action},
    caller::ReadCaller,
    jsonapi::{ApiError, ErrorCode, Implementation, JsonApiBody, JsonApiResponse},
    media::{
        disposition::Disposition,
        find::{RequestedMedia, find},
        headers,
        parameters::project_of,
    },
    openapi_tags::Tags,
};

/// Creates a signed link.
pub(crate) struct CreateLink {
    pub(crate) links: Arc<LinkCreator>,
}

/// Creates signed links.
pub(crate) struct LinkCreator {
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

#[OpenApi(tag = "Tags::Medias")]
impl CreateLink {
    /// Create a link to a media.
    ///
    /// A signed link: anyone who has it can use it until it expires. If no signing key is configured, the answer is 409
    /// `links_not_configured`.
    #[oai(
        path = "/medias/files/:resource/:key/links",
        method = "post",
        operation_id = "linkMediaByKey"
    )]
    async fn link_by_key(
        &self,
        caller: ReadCaller,
        request: &Request,
        /// The resource of the media.
        resource: Path<String>,
        /// The key within the resource.
        key: Path<String>,
        body: JsonApiBody<NewLinkDocument>,
    ) -> Result<LinkResponse, ApiError> {
        let requested = RequestedMedia::new(&resource, Some(&key));
        let link = self
            .links
            .create(&caller, request, requested, body.0)
            .await?;
        Ok(LinkResponse::Created(link))
    }
}

impl LinkCreator {
    /// Creates a link to a media that the caller may read in its own projects.
    pub(crate) async fn create(
        &self,
        caller: &ReadCaller,
        request: &Request,
        requested: RequestedMedia<'_>,
        body: NewLinkDocument,
    ) -> Result<JsonApiResponse<LinkDocument>, ApiError> {
        let project = project_of(request)?;
        let scope = MediaReadScope {
            projects: caller.scope.clone(),
            public: false,
        };
        let signer = self.signer.as_ref().ok_or_else(|| {
            ApiError::new(
                ErrorCode::LinksNotConfigured,
                "this service does not create links: its operator has to set MEDIA_URL_SIGNING_KEY",
            )
        })?;
        let attributes = body.data.attributes.unwrap_or_default();
        let lifetime = lifetime(&attributes)?;
        let media = find(&self.services, requested, &scope, &project).await?;
        audit::record(Action::LinkMedia, media.id, caller);
        let expires = to_micros(Utc::now()) + lifetime;
        let disposition = attributes.disposition.map(Disposition::as_str);
        let query = signer.sign(media.id, disposition, expires);
        let path = format!("{}?{query}", headers::path_to("files", &media));
        Ok(JsonApiResponse(LinkDocument {
            jsonapi: Implementation::default(),
            data: LinkResource {
                kind: LinkType::Links,
                id: media.id.to_string(),
                attributes: LinkAttributes {
                    url: self.absolute(&path),
                    expires_at: to_rfc3339(whole_seconds(expires)),
                },
            },
        }))
    }

    /// Converts a path to a URL, if the service's URL is configured.
    fn absolute(&self, path: &str) -> String {
        match &self.public_url {
            Some(url) => format!("{}{path}", url.as_str().trim_end_matches('/')),
            None => path.to_owned(),
        }
    }
}

fn lifetime(attributes: &NewLinkAttributes) -> Result<TimeDelta, ApiError> {
    let Some(seconds) = attributes.expires_in else {
        return Ok(DEFAULT_LIFETIME);
    };
    TimeDelta::try_seconds(seconds)
        .filter(|lifetime| (TimeDelta::seconds(1)..=MAX_LIFETIME).contains(lifetime))
        .ok_or_else(|| {
            ApiError::at_pointer(
                ErrorCode::InvalidValue,
                "/data/attributes/expires_in",
                "`expires_in` must be 1 to 604800 seconds",
            )
        })
}

fn whole_seconds(time: DateTime<Utc>) -> DateTime<Utc> {
    DateTime::from_timestamp(time.timestamp(), 0).unwrap_or(time)
}

/// The type of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
enum LinkType {
    /// The only value.
    #[oai(rename = "media:links")]
    #[serde(rename = "media:links")]
    Links,
}

/// A request for a link.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "NewLinkDocument", example)]
pub(crate) struct NewLinkDocument {
    /// The link.
    data: NewLinkResource,
}

/// A link to create.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "NewLink")]
struct NewLinkResource {
    /// Always `media:links`.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: LinkType,
    /// The attributes of the link.
    #[serde(default)]
    attributes: Option<NewLinkAttributes>,
}

/// The attributes of a link to create.
#[derive(Clone, Debug, Default, Object, Deserialize)]
#[oai(rename = "NewLinkAttributes")]
#[serde(deny_unknown_fields)]
struct NewLinkAttributes {
    /// The lifetime in seconds, at most 604800 (seven days); default 3600.
    #[oai(nullable)]
    expires_in: Option<i64>,
    /// `inline` makes browsers show the media, `attachment` makes them save it; default `attachment`.
    #[oai(nullable)]
    disposition: Option<Disposition>,
}

/// A link.
#[derive(Clone, Debug, Object)]
#[oai(rename = "LinkDocument")]
pub(crate) struct LinkDocument {
    /// The link.
    data: LinkResource,
    /// The version of JSON:API.
    jsonapi: Implementation,
}

/// A link that was created.
#[derive(Clone, Debug, Object)]
#[oai(rename = "Link")]
struct LinkResource {
    /// Always `media:links`.
    #[oai(rename = "type")]
    kind: LinkType,
    /// The id of the media.
    id: String,
    /// The attributes of the link.
    attributes: LinkAttributes,
}

/// The attributes of a link.
#[derive(Clone, Debug, Object)]
#[oai(rename = "LinkAttributes")]
struct LinkAttributes {
    /// The URL for GET and HEAD requests, also of ranges. Only a path, unless the service's URL is configured.
    url: String,
    /// The time at which the link expires.
    expires_at: String,
}

impl poem_openapi::types::Example for NewLinkDocument {
    fn example() -> Self {
        Self {
            data: NewLinkResource {
                kind: LinkType::Links,
                attributes: Some(NewLinkAttributes {
                    expires_in: Some(3600),
                    disposition: Some(Disposition::Inline),
                }),
            },
        }
    }
}
