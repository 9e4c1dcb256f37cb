//! Media as JSON:API documents.

use media_shared::{entities::media, page::Page};
use poem_openapi::{Enum, Object};
use uuid::Uuid;

use super::headers::path_to;
use crate::{
    jobs::ListMeta,
    jsonapi::{ListLinks, Timestamp},
};

/// The type of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(super) enum MediaType {
    /// The only one.
    #[oai(rename = "media:medias")]
    Medias,
}

/// A media.
#[derive(Clone, Debug, Object)]
#[oai(rename = "MediaDocument")]
pub(super) struct MediaDocument {
    data: MediaResource,
}

/// A part of the list of media.
#[derive(Clone, Debug, Object)]
#[oai(rename = "MediaList", skip_serializing_if_is_none)]
pub(super) struct MediaList {
    data: Vec<MediaResource>,
    links: ListLinks,
    meta: Option<ListMeta>,
}

/// A media as a resource.
#[derive(Clone, Debug, Object)]
#[oai(rename = "Media")]
struct MediaResource {
    #[oai(rename = "type")]
    kind: MediaType,
    id: Uuid,
    attributes: MediaAttributes,
    links: MediaLinks,
}

/// Where the media is.
#[derive(Clone, Debug, Object)]
#[oai(rename = "MediaLinks")]
struct MediaLinks {
    /// Its bytes.
    download: String,
    /// Its record.
    #[oai(rename = "self")]
    info: String,
}

/// All there is to know about a media.
#[derive(Clone, Debug, Object)]
#[oai(rename = "MediaAttributes")]
struct MediaAttributes {
    /// Where it is kept.
    resource: String,
    /// Where within the resource.
    #[oai(nullable)]
    key: Option<String>,
    /// The name it is offered under.
    filename: String,
    /// Bytes.
    size: i64,
    /// What the bytes are.
    mime_type: String,
    /// 64 hexadecimal digits.
    sha256: String,
    /// Whether anyone may download it.
    public: bool,
    /// Who put the present bytes there.
    #[oai(nullable)]
    created_by: Option<String>,
    /// In which role.
    #[oai(nullable)]
    created_role: Option<String>,
    /// For which project.
    #[oai(nullable)]
    project_id: Option<String>,
    /// Where the bytes came from, secrets redacted; null if they were uploaded.
    #[oai(nullable)]
    source_url: Option<String>,
    /// When the media came to be.
    created_at: Timestamp,
    /// When its bytes or attributes last changed.
    updated_at: Timestamp,
}

impl MediaDocument {
    pub(super) fn new(media: media::Model) -> Self {
        Self { data: media.into() }
    }
}

impl MediaList {
    pub(super) fn new(page: Page<media::Model>, links: ListLinks) -> Self {
        Self {
            data: page.items.into_iter().map(MediaResource::from).collect(),
            links,
            meta: page.total.map(|count| ListMeta { count }),
        }
    }
}

impl From<media::Model> for MediaResource {
    fn from(media: media::Model) -> Self {
        Self {
            kind: MediaType::Medias,
            id: media.id.0,
            links: MediaLinks {
                download: path_to("files", &media),
                info: path_to("info", &media),
            },
            attributes: MediaAttributes {
                resource: media.resource,
                key: media.key,
                filename: media.filename,
                size: media.size,
                mime_type: media.mime_type,
                sha256: media.sha256,
                public: media.public,
                created_by: media.created_by,
                created_role: media.created_role,
                project_id: media.project_id,
                source_url: media.source_url,
                created_at: Timestamp(media.created_at),
                updated_at: Timestamp(media.updated_at),
            },
        }
    }
}
