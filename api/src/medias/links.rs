//! Signed links: good for one media and for a while, for whoever has them.

use chrono::{DateTime, TimeDelta, Utc};
use media_shared::{
    access::MediaSight,
    clock::{to_micros, to_rfc3339},
    entities::media,
    ids::MediaId,
};
use poem::{Request, RequestBody};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ApiResponse, Enum, ExtractParamOptions, Object,
    payload::Payload as _,
    registry::{MetaMediaType, MetaRequest, Registry},
};
use serde::Deserialize;
use url::Url;

use super::{Disposition, MediasApi, UploadResponse, headers, upload::UploadForm};
use crate::{
    access::{caller_of, project_of},
    audit::{self, Act},
    jsonapi::{ApiError, ErrorCode, Implementation, JsonApiBody, JsonApiResponse},
    resource::query_string::QueryString,
    signed_link::{DEFAULT_LIFETIME, LinkError, LinkQuery, LinkSigner, MAX_LIFETIME},
};

/// The last segment of a path that makes a link. It may be a key as well: a form that is sent there is
/// an upload.
const SEGMENT: &str = "/links";

/// How links are made and checked, and where clients reach the service.
pub(super) struct Links {
    pub(super) signer: Option<LinkSigner>,
    pub(super) public_url: Option<Url>,
}

/// What a good link is for.
pub(super) struct Linked {
    pub(super) media: MediaId,
    pub(super) left: TimeDelta,
}

/// The type of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
pub(super) enum LinkType {
    /// The only one.
    #[oai(rename = "media:links")]
    #[serde(rename = "media:links")]
    Links,
}

/// A request for a link.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "NewLinkDocument", example)]
pub(super) struct NewLinkDocument {
    /// The link.
    data: NewLinkResource,
}

/// A link to be made.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "NewLink")]
pub(super) struct NewLinkResource {
    /// Always `media:links`.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: LinkType,
    /// What it is to be.
    #[serde(default)]
    attributes: Option<NewLinkAttributes>,
}

/// What a link is to be.
#[derive(Clone, Debug, Default, Object, Deserialize)]
#[oai(rename = "NewLinkAttributes")]
#[serde(deny_unknown_fields)]
pub(super) struct NewLinkAttributes {
    /// For how many seconds it is good, at most 604800, which are seven days; default 3600.
    #[oai(nullable, validator(minimum(value = "1"), maximum(value = "604800")))]
    expires_in: Option<i64>,
    /// How a browser that follows it treats the bytes; `attachment` unless it says `inline`.
    #[oai(nullable)]
    disposition: Option<Disposition>,
}

/// A link.
#[derive(Clone, Debug, Object)]
#[oai(rename = "LinkDocument")]
pub(super) struct LinkDocument {
    /// The link.
    data: LinkResource,
    /// What this is a document of.
    jsonapi: Implementation,
}

/// A link that was made.
#[derive(Clone, Debug, Object)]
#[oai(rename = "Link")]
struct LinkResource {
    /// Always `media:links`.
    #[oai(rename = "type")]
    kind: LinkType,
    /// The id of the media that it is good for.
    id: String,
    /// What it is.
    attributes: LinkAttributes,
}

/// What a link is.
#[derive(Clone, Debug, Object)]
#[oai(rename = "LinkAttributes")]
struct LinkAttributes {
    /// What to follow: GET or HEAD, whole or in ranges. A path, unless the service knows the URL that
    /// clients reach it at.
    url: String,
    /// Until when it is good.
    expires_at: String,
}

/// What is posted to a path that ends in `links`.
pub(super) enum FormOrLink {
    Form(UploadForm),
    Link(JsonApiBody<NewLinkDocument>),
}

#[derive(ApiResponse)]
pub(super) enum LinkResponse {
    /// The link.
    #[oai(status = 201)]
    Made(JsonApiResponse<LinkDocument>),
}

#[derive(ApiResponse)]
pub(super) enum UploadOrLinkResponse {
    /// The media, as it is now kept.
    #[oai(status = 200)]
    Kept(JsonApiResponse<crate::resource::document::One<super::MediaResource>>),
    /// The link, where the path ends in `links` and the body is a document.
    #[oai(status = 201)]
    Made(JsonApiResponse<LinkDocument>),
}

impl From<UploadResponse> for UploadOrLinkResponse {
    fn from(UploadResponse::Kept(media): UploadResponse) -> Self {
        Self::Kept(media)
    }
}

impl From<LinkResponse> for UploadOrLinkResponse {
    fn from(LinkResponse::Made(link): LinkResponse) -> Self {
        Self::Made(link)
    }
}

impl MediasApi {
    /// Makes a link to a media that the caller sees among what is its projects'.
    pub(super) async fn link(
        &self,
        request: &Request,
        resource: &str,
        key: Option<&str>,
        body: NewLinkDocument,
    ) -> Result<LinkResponse, ApiError> {
        let belonging = project_of(request)?;
        let sight = MediaSight {
            projects: caller_of(request).sees()?,
            public: false,
        };
        let signer = self.links.signer.as_ref().ok_or_else(|| {
            ApiError::new(
                ErrorCode::Conflict,
                "this service makes no links: its operator has to set MEDIA_URL_SIGNING_KEY",
            )
        })?;
        let attributes = body.data.attributes.unwrap_or_default();
        let lifetime = lifetime(&attributes)?;
        let media = self.find((resource, key), &sight, &belonging).await?;
        audit::note(Act::LinkMedia, media.id, caller_of(request));
        let expires = to_micros(Utc::now()) + lifetime;
        let disposition = attributes.disposition.map(Disposition::as_str);
        let query = signer.sign(media.id, disposition, expires);
        let path = format!("{}?{query}", headers::path_to("files", &media));
        Ok(LinkResponse::Made(JsonApiResponse(LinkDocument {
            jsonapi: Implementation::default(),
            data: LinkResource {
                kind: LinkType::Links,
                id: media.id.to_string(),
                attributes: LinkAttributes {
                    url: self.links.absolute(&path),
                    expires_at: to_rfc3339(whole_seconds(expires)),
                },
            },
        })))
    }
}

impl Links {
    /// Takes a link out of a query, and checks it. `disposition` stays there.
    pub(super) fn take(&self, query: &mut QueryString) -> Result<Option<Linked>, ApiError> {
        let Some(signature) = query.take("signature")? else {
            return Ok(None);
        };
        let (media, expires) = (query.take("media")?, query.take("expires")?);
        let disposition = query.peek("disposition");
        let (Some(media), Some(expires), Some(signer)) = (media, expires, &self.signer) else {
            return Err(refused(LinkError::Invalid));
        };
        let link = LinkQuery {
            media: &media,
            expires: &expires,
            disposition,
            signature: &signature,
        };
        let now = Utc::now();
        let media = signer.verify(&link, now).map_err(refused)?;
        // It is good, so it has a time.
        let ends = expires
            .parse()
            .ok()
            .and_then(|at| DateTime::from_timestamp(at, 0));
        Ok(Some(Linked {
            media,
            left: ends.unwrap_or(now) - now,
        }))
    }

    /// A path, as clients reach it.
    fn absolute(&self, path: &str) -> String {
        match &self.public_url {
            Some(url) => format!("{}{path}", url.as_str().trim_end_matches('/')),
            None => path.to_owned(),
        }
    }
}

/// Whether a link leads to this path: another media may be there by now.
pub(super) fn leads_to(media: &media::Model, resource: &str, key: Option<&str>) -> bool {
    media.resource == resource && media.key.as_deref() == key
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

fn refused(error: LinkError) -> ApiError {
    let code = match error {
        LinkError::Expired => ErrorCode::LinkExpired,
        LinkError::Invalid => ErrorCode::InvalidLink,
    };
    ApiError::new(code, format!("{error}; ask for another one"))
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

impl<'a> ApiExtractor<'a> for FormOrLink {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        <UploadForm as ApiExtractor>::register(registry);
        <JsonApiBody<NewLinkDocument> as ApiExtractor>::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        let mut meta = <JsonApiBody<NewLinkDocument> as ApiExtractor>::request_meta()?;
        let form = MetaMediaType {
            content_type: UploadForm::CONTENT_TYPE,
            schema: UploadForm::schema_ref(),
        };
        meta.content.insert(0, form);
        meta.description =
            Some("A form uploads. A document makes a link, where the path ends in `links`");
        Some(meta)
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        options: ExtractParamOptions<Self::ParamType>,
    ) -> poem::Result<Self> {
        let content_type = request.content_type().unwrap_or_default();
        let is_link = request.uri().path().ends_with(SEGMENT)
            && !UploadForm::check_content_type(content_type);
        if is_link {
            let link = JsonApiBody::from_request(request, body, options).await?;
            return Ok(Self::Link(link));
        }
        let form = <UploadForm as ApiExtractor>::from_request(
            request,
            body,
            ExtractParamOptions::default(),
        )
        .await?;
        Ok(Self::Form(form))
    }
}
