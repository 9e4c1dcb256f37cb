//! Looks up the media at a path.

use media_database::{entities::media, media_repository::Found};
use media_domain::{
    media::MediaPath,
    permissions::{MediaReadScope, ProjectSelector},
};
use media_services::Services;

use crate::jsonapi::{ApiError, ErrorCode};

/// A place as the path of a request names it.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// The resource.
    pub(crate) resource: &'a str,
    /// The key within the resource.
    pub(crate) key: Option<&'a str>,
}

impl<'a> Place<'a> {
    pub(crate) fn new(resource: &'a str, key: Option<&'a str>) -> Self {
        Self { resource, key }
    }

    /// Whether a media is kept there.
    pub(crate) fn holds(self, media: &media::Model) -> bool {
        media.resource == self.resource && media.key.as_deref() == self.key
    }
}

/// Finds the media at a place, among those that the caller may read and in the project that it names.
pub(crate) async fn find(
    services: &Services,
    place: Place<'_>,
    sight: &MediaReadScope,
    project: &ProjectSelector,
) -> Result<media::Model, ApiError> {
    // Nothing is ever stored at an invalid path.
    let path = MediaPath::new(place.resource, place.key).map_err(|_| no_such_media())?;
    match services.medias.find(&path, sight, project).await? {
        Found::One(media) => Ok(*media),
        Found::Nothing => Err(no_such_media()),
        Found::Several => Err(ApiError::at_parameter(
            ErrorCode::Conflict,
            "project_id",
            "several projects have a media at this resource and key; say which one is meant",
        )),
    }
}

pub(crate) fn no_such_media() -> ApiError {
    ApiError::not_found("there is no media at this resource and key")
}
