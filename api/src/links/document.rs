//! The documents of links.

use poem_openapi::{Enum, Object};
use serde::Deserialize;

use crate::{jsonapi::Implementation, media::disposition::Disposition};

/// The type of links.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
pub(super) enum LinkType {
    /// The only value.
    #[oai(rename = "media:links")]
    #[serde(rename = "media:links")]
    Links,
}

/// The use of a link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(super) enum LinkMethod {
    /// To download the media: GET and HEAD requests, also of ranges.
    #[default]
    Download,
    /// To upload the media: POST requests with a form, and PUT requests.
    Upload,
}

/// A request for a link.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "NewLinkDocument", example)]
pub(super) struct NewLinkDocument {
    /// The link.
    pub(super) data: NewLinkResource,
}

/// A link to create.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "NewLink")]
pub(super) struct NewLinkResource {
    /// Always `media:links`.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: LinkType,
    /// The attributes of the link.
    pub(super) attributes: NewLinkAttributes,
}

/// The attributes of a link to create.
#[derive(Clone, Debug, Default, Object, Deserialize)]
#[oai(rename = "NewLinkAttributes")]
#[serde(deny_unknown_fields)]
pub(super) struct NewLinkAttributes {
    /// The resource of the media.
    pub(super) resource: String,
    /// The key within the resource.
    #[oai(nullable)]
    pub(super) key: Option<String>,
    /// The project of the media, needed if several projects have one at this path, or if the token names several; an
    /// empty value selects media without a project.
    #[oai(nullable)]
    pub(super) project_id: Option<String>,
    /// `download` or `upload`; default `download`.
    #[oai(nullable)]
    pub(super) method: Option<LinkMethod>,
    /// The lifetime in seconds, at most 604800 (seven days); default 3600.
    #[oai(nullable)]
    pub(super) expires_in: Option<i64>,
    /// For downloads: `inline` makes browsers show the media, `attachment` makes them save it; default `attachment`.
    #[oai(nullable)]
    pub(super) disposition: Option<Disposition>,
    /// For uploads: the largest accepted size, in bytes.
    #[oai(nullable)]
    pub(super) max_bytes: Option<i64>,
    /// For uploads: the accepted types, such as `image/png` or `image/*`; all by default.
    #[oai(nullable)]
    pub(super) accept_types: Option<Vec<String>>,
}

/// A link.
#[derive(Clone, Debug, Object)]
#[oai(rename = "LinkDocument")]
pub(super) struct LinkDocument {
    /// The link.
    pub(super) data: LinkResource,
    /// The version of JSON:API.
    pub(super) jsonapi: Implementation,
}

/// A link that was created.
#[derive(Clone, Debug, Object)]
#[oai(rename = "Link")]
pub(super) struct LinkResource {
    /// Always `media:links`.
    #[oai(rename = "type")]
    pub(super) kind: LinkType,
    /// The id of the media; of a link to upload one, an id of its own.
    pub(super) id: String,
    /// The attributes of the link.
    pub(super) attributes: LinkAttributes,
}

/// The attributes of a link.
#[derive(Clone, Debug, Object)]
#[oai(rename = "LinkAttributes")]
pub(super) struct LinkAttributes {
    /// The URL for requests. Only a path, unless the service's URL is configured.
    pub(super) url: String,
    /// The use of the link.
    pub(super) method: LinkMethod,
    /// The time at which the link expires.
    pub(super) expires_at: String,
}

impl poem_openapi::types::Example for NewLinkDocument {
    fn example() -> Self {
        Self {
            data: NewLinkResource {
                kind: LinkType::Links,
                attributes: NewLinkAttributes {
                    resource: "avatars".to_owned(),
                    key: Some("42".to_owned()),
                    expires_in: Some(3600),
                    disposition: Some(Disposition::Inline),
                    ..NewLinkAttributes::default()
                },
            },
        }
    }
}
