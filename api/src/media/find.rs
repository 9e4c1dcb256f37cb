//! Looks up the media that a path names.

use media_shared::{
    access::{Belonging, MediaSight},
    entities::media,
    media::MediaPath,
    media_ledger::Found,
    services::Services,
};

use crate::jsonapi::{ApiError, ErrorCode};

/// The unchecked names of a media in the path of a request.
#[derive(Clone, Copy)]
pub(crate) struct RequestedMedia<'a> {
    /// The resource.
    pub(crate) resource: &'a str,
    /// The key within the resource.
    pub(crate) key: Option<&'a str>,
}

impl<'a> RequestedMedia<'a> {
    pub(crate) fn new(resource: &'a str, key: Option<&'a str>) -> Self {
        Self { resource, key }
    }

    /// Whether a media has these names.
    pub(crate) fn matches(self, media: &media::Model) -> bool {
        media.resource == self.resource && media.key.as_deref() == self.key
    }
}

/// Finds a media among those that the caller may read, in the project that the request names.
pub(crate) async fn find(
    services: &Services,
    requested: RequestedMedia<'_>,
    sight: &MediaSight,
    project: &Belonging,
) -> Result<media::Model, ApiError> {
    // No media has an invalid path.
    let path = MediaPath::new(requested.resource, requested.key).map_err(|_| no_such_media())?;
    match services.medias.find(&path, sight, project).await? {
        Found::One(media) => Ok(*media),
        Found::Nothing => Err(no_such_media()),
        Found::Several => Err(ApiError::at_parameter(
            ErrorCode::Conflict,
            "project_id",
            "several projects have a media with this resource and key; choose one with `project_id`",
        )),
    }
}

pub(crate) fn no_such_media() -> ApiError {
    ApiError::not_found("there is no media with this resource and key")
}
