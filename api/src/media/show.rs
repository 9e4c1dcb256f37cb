//! `GET /medias/info/{resource}` and `GET /medias/info/{resource}/{key}`: the record of a media, as a document or in
//! headers.

use std::{sync::Arc, time::Duration};

use media_database::entities::media;
use media_domain::{clock::to_rfc3339, media::PreconditionFailed};
use media_services::Services;
use parse_net::etag::EntityTag;
use poem::{
    IntoResponse, Request, Response,
    http::{StatusCode, header},
};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::Path,
    payload::Payload as _,
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type as _,
};

use super::{
    fields::MediaResource,
    find::{RequestedMedia, find},
    headers::{self, encoded, set, set_validators},
    parameters::{take_key, take_project},
    read_condition::ReadCondition,
};
use crate::{
    caller::MaybeCaller,
    jsonapi::{ApiError, JsonApiResponse},
    openapi_tags::Tags,
    resource::{document::ResourceDocument, query_string::QueryString, view::View},
};

/// Shows the record of a media.
pub(crate) struct ShowMedia {
    pub(super) services: Arc<Services>,
}

#[OpenApi(tag = "Tags::Medias")]
impl ShowMedia {
    /// Show a media without a key.
    ///
    /// With `Prefer: return=minimal` the answer is 204, with the record in its headers.
    #[oai(
        path = "/medias/info/:resource",
        method = "get",
        operation_id = "showMedia"
    )]
    async fn show(
        &self,
        caller: MaybeCaller,
        request: &Request,
        /// The resource of the media.
        resource: Path<String>,
    ) -> Result<RecordResponse, ApiError> {
        let requested = RequestedMedia::new(&resource, None);
        self.show_requested(&caller, request, requested).await
    }

    /// Show a media.
    ///
    /// With `Prefer: return=minimal` the answer is 204, with the record in its headers.
    #[oai(
        path = "/medias/info/:resource/:key",
        method = "get",
        operation_id = "showMediaByKey"
    )]
    async fn show_by_key(
        &self,
        caller: MaybeCaller,
        request: &Request,
        /// The resource of the media.
        resource: Path<String>,
        /// The key within the resource.
        key: Path<String>,
    ) -> Result<RecordResponse, ApiError> {
        let requested = RequestedMedia::new(&resource, Some(&key));
        self.show_requested(&caller, request, requested).await
    }
}

impl ShowMedia {
    async fn show_requested(
        &self,
        caller: &MaybeCaller,
        request: &Request,
        requested: RequestedMedia<'_>,
    ) -> Result<RecordResponse, ApiError> {
        let mut query = QueryString::from_request(request);
        let project = take_project(&mut query)?;
        let view = View::take(&mut query)?;
        let key = take_key(requested.key, &mut query)?;
        let requested = RequestedMedia {
            key: key.as_deref(),
            ..requested
        };
        let media = find(&self.services, requested, &caller.scope, &project).await?;
        let media = media.redact_for(&caller.scope);
        let tag = media.record_tag();
        // The text of a record's tag is always valid.
        let condition = EntityTag::strong(tag.as_bytes()).map_or(ReadCondition::Holds, |current| {
            let modified = headers::last_modified(&media);
            ReadCondition::evaluate(request.headers(), &current, modified)
        });
        match condition {
            ReadCondition::Holds => {
                let minimal = headers::wants_minimal(request);
                Ok(RecordResponse::new(media, &view, minimal))
            }
            ReadCondition::NotModified => Ok(RecordResponse::NotModified(Box::new(media))),
            ReadCondition::Failed => Err(PreconditionFailed.into()),
        }
    }
}

/// The headers of the record, and their descriptions. Text is percent-encoded (RFC 3986).
const RECORD_HEADERS: [(&str, &str); 13] = [
    ("X-Media-Id", "The media's id"),
    ("X-Media-Resource", "The resource, percent-encoded"),
    (
        "X-Media-Key",
        "The key within the resource, percent-encoded",
    ),
    ("X-Media-Filename", "The name of the file, percent-encoded"),
    ("X-Media-Size", "The size in bytes"),
    ("X-Media-Type", "The type of the bytes"),
    ("X-Media-Charset", "The charset of text, if it is known"),
    (
        "X-Media-Sha256",
        "The SHA-256 of the bytes, 64 hexadecimal digits",
    ),
    ("X-Media-Public", "Whether anyone may download the media"),
    ("X-Media-Created-At", "The time of creation"),
    ("X-Media-Updated-At", "The time of the last change"),
    (
        "X-Media-Expires-At",
        "The time from which on the media is gone, if there is one",
    ),
    ("Preference-Applied", "return=minimal"),
];

/// The record of a media.
enum RecordResponse {
    /// 200, a document and the tag of the record.
    Document(ResourceDocument<MediaResource>, String),
    /// 204 and headers.
    Headers(Box<media::Model>),
    /// 304: the client has this state.
    NotModified(Box<media::Model>),
}

impl RecordResponse {
    fn new(media: media::Model, view: &View<MediaResource>, minimal: bool) -> Self {
        if minimal {
            Self::Headers(Box::new(media))
        } else {
            let document = ResourceDocument::new(&media, view, Vec::new());
            Self::Document(document, headers::record_etag(&media))
        }
    }
}

/// The values of [`RECORD_HEADERS`], in their order; none for headers that are absent.
fn record_values(media: &media::Model) -> [Option<String>; 13] {
    [
        Some(media.id.to_string()),
        Some(encoded(&media.resource)),
        media.key.as_deref().map(encoded),
        Some(encoded(&media.filename)),
        Some(media.size.to_string()),
        Some(media.mime_type.clone()),
        media.charset.clone(),
        Some(media.sha256.clone()),
        Some(media.public.to_string()),
        Some(to_rfc3339(media.created_at)),
        Some(to_rfc3339(media.updated_at)),
        media.expires_at.map(to_rfc3339),
        Some("return=minimal".to_owned()),
    ]
}

impl IntoResponse for RecordResponse {
    fn into_response(self) -> Response {
        match self {
            Self::Document(document, tag) => {
                let mut response = JsonApiResponse(document).into_response();
                set(response.headers_mut(), header::ETAG, tag);
                response
            }
            Self::NotModified(media) => {
                let mut response = StatusCode::NOT_MODIFIED.into_response();
                set(
                    response.headers_mut(),
                    header::ETAG,
                    headers::record_etag(&media),
                );
                response
            }
            Self::Headers(media) => {
                let mut response = StatusCode::NO_CONTENT.into_response();
                let headers = response.headers_mut();
                set_validators(headers, &media, Duration::ZERO);
                set(headers, header::ETAG, headers::record_etag(&media));
                for ((name, _), value) in RECORD_HEADERS.iter().zip(record_values(&media)) {
                    if let Some(value) = value {
                        set(headers, *name, value);
                    }
                }
                response
            }
        }
    }
}

impl ApiResponse for RecordResponse {
    fn meta() -> MetaResponses {
        let headers = RECORD_HEADERS.map(|(name, description)| MetaHeader {
            name: name.to_owned(),
            description: Some(description.to_owned()),
            required: !matches!(
                name,
                "X-Media-Key" | "X-Media-Charset" | "X-Media-Expires-At"
            ),
            deprecated: false,
            schema: String::schema_ref(),
        });
        MetaResponses {
            responses: vec![
                MetaResponse {
                    description: "The media",
                    status: Some(200),
                    status_range: None,
                    content: vec![MetaMediaType {
                        content_type:
                            JsonApiResponse::<ResourceDocument<MediaResource>>::CONTENT_TYPE,
                        schema: JsonApiResponse::<ResourceDocument<MediaResource>>::schema_ref(),
                    }],
                    headers: vec![MetaHeader {
                        name: "ETag".to_owned(),
                        description: Some(
                            "The tag of the record, which changes with every attribute".to_owned(),
                        ),
                        required: true,
                        deprecated: false,
                        schema: String::schema_ref(),
                    }],
                },
                MetaResponse {
                    description: "The media in headers: the client preferred `return=minimal`",
                    status: Some(204),
                    status_range: None,
                    content: vec![],
                    headers: headers.into(),
                },
                MetaResponse {
                    description: "The record has not changed since the client read it",
                    status: Some(304),
                    status_range: None,
                    content: vec![],
                    headers: vec![],
                },
            ],
        }
    }

    fn register(registry: &mut Registry) {
        JsonApiResponse::<ResourceDocument<MediaResource>>::register(registry);
    }
}
