//! What the operations do, whether the path of a media has one segment or two.

use std::time::Duration;

use media_shared::{
    access::{Belonging, MediaSight},
    entities::media,
    media::{MediaPath, WritePrecondition},
    media_ledger::{DeleteError, Found},
};
use poem::{
    Request,
    http::{Method, header},
};

use super::{
    DeleteResponse, MediasApi, UploadResponse,
    download::{DownloadResponse, Source, download, field},
    headers,
    info::InfoResponse,
    links::{Linked, leads_to},
    upload::{Place, UploadForm},
};
use crate::{
    access::{caller_of, project_of, take_project},
    audit::{self, Act},
    jsonapi::{ApiError, ErrorCode, JsonApiResponse},
    resource::{document::One, query::View, query_string::QueryString},
};

/// The shortest time for which storage signs a URL.
const SHORTEST: Duration = Duration::from_secs(1);

impl MediasApi {
    pub(super) async fn show(
        &self,
        request: &Request,
        resource: &str,
        key: Option<&str>,
    ) -> Result<InfoResponse, ApiError> {
        let mut query = QueryString::of(request);
        let belonging = take_project(&mut query)?;
        let view = View::take(&mut query)?;
        let key = key_of(key, &mut query)?;
        let sight = caller_of(request).sees_media();
        let place = (resource, key.as_deref());
        let media = self.find(place, &sight, &belonging).await?;
        let media = sight.shown(media);
        Ok(InfoResponse::new(
            media,
            &view,
            headers::wants_minimal(request),
        ))
    }

    pub(super) async fn send(
        &self,
        request: &Request,
        method: Method,
        resource: &str,
        key: Option<&str>,
        inline: bool,
    ) -> Result<DownloadResponse, ApiError> {
        let mut query = QueryString::of(request);
        let link = self.links.take(&mut query)?;
        query.take("disposition")?;
        let belonging = take_project(&mut query)?;
        let key = match &link {
            // Nothing may be added to a signed link.
            Some(_) => {
                query.finish()?;
                key.map(str::to_owned)
            }
            // A link that has lost its signature.
            None if query.peek("media").is_some() => {
                return Err(query.finish().err().unwrap_or_else(no_such_media));
            }
            // Pages add parameters of their own, such as `v` against stale caches.
            None => key_of(key, &mut query)?,
        };
        let sight = caller_of(request).sees_media();
        let place = (resource, key.as_deref());
        let find = || self.find_as(link.as_ref(), place, &sight, &belonging);
        let left = link.as_ref().and_then(|link| link.left.to_std().ok());
        let source = Source {
            store: &*self.services.store,
            inline_pdf: self.inline_pdf,
            // What a link leads to is not good for longer than the link.
            redirect: match (self.redirect, left) {
                (Some(redirect), Some(left)) => Some(redirect.min(left.max(SHORTEST))),
                (redirect, _) => redirect,
            },
        };
        download(&source, find, request, &method, inline).await
    }

    pub(super) async fn keep(
        &self,
        request: &Request,
        resource: &str,
        key: Option<&str>,
        form: UploadForm,
    ) -> Result<UploadResponse, ApiError> {
        let creator = caller_of(request).creates(&project_of(request)?)?;
        let path = MediaPath::new(resource, key).map_err(|(parameter, error)| {
            ApiError::at_parameter(ErrorCode::InvalidValue, parameter, error.to_string())
        })?;
        let condition = write_precondition(request);
        self.services
            .medias
            .check_place(&path, &creator, &condition)
            .await?;
        let place = Place {
            path,
            creator,
            condition,
        };
        let media = self.uploads.take(place, form).await?;
        let document = One::new(&media, &View::full(), Vec::new());
        Ok(UploadResponse::Kept(JsonApiResponse(document)))
    }

    pub(super) async fn remove(
        &self,
        request: &Request,
        resource: &str,
        key: Option<&str>,
    ) -> Result<DeleteResponse, ApiError> {
        let belonging = project_of(request)?;
        let reach = caller_of(request).reaches()?;
        let sight = MediaSight {
            projects: reach.projects.clone(),
            public: false,
        };
        let media = self.find((resource, key), &sight, &belonging).await?;
        let condition = write_precondition(request);
        match self
            .services
            .medias
            .delete_if(media.id, &reach, condition)
            .await
        {
            Ok(true) => {
                audit::note(Act::DeleteMedia, media.id, caller_of(request));
                Ok(DeleteResponse::Deleted)
            }
            Ok(false) => Err(no_such_media()),
            Err(DeleteError::Denied(denied)) => Err(denied.into()),
            Err(DeleteError::PreconditionFailed(failed)) => Err(failed.into()),
            Err(DeleteError::Database(error)) => Err(error.into()),
        }
    }

    /// What a link leads to, or what the caller sees.
    async fn find_as(
        &self,
        link: Option<&Linked>,
        (resource, key): (&str, Option<&str>),
        sight: &MediaSight,
        belonging: &Belonging,
    ) -> Result<media::Model, ApiError> {
        let Some(link) = link else {
            return self.find((resource, key), sight, belonging).await;
        };
        let found = self.services.medias.find_by_id(link.media).await?;
        found
            .filter(|media| leads_to(media, resource, key))
            .ok_or_else(no_such_media)
    }

    pub(super) async fn find(
        &self,
        (resource, key): (&str, Option<&str>),
        sight: &MediaSight,
        belonging: &Belonging,
    ) -> Result<media::Model, ApiError> {
        // What could not be kept is not there.
        let path = MediaPath::new(resource, key).map_err(|_| no_such_media())?;
        match self.services.medias.find(&path, sight, belonging).await? {
            Found::One(media) => Ok(*media),
            Found::Nothing => Err(no_such_media()),
            Found::Several => Err(ApiError::at_parameter(
                ErrorCode::Conflict,
                "project_id",
                "several projects have a media at this resource and key; say which one is meant",
            )),
        }
    }
}

/// The conditions that a request makes on what it writes.
fn write_precondition(request: &Request) -> WritePrecondition {
    let value = |name| field(request.headers(), &name);
    WritePrecondition::new(value(header::IF_MATCH), value(header::IF_NONE_MATCH))
}

/// The key in the path, or the one in the query.
fn key_of(key: Option<&str>, query: &mut QueryString) -> Result<Option<String>, ApiError> {
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => query.take("key"),
    }
}

fn no_such_media() -> ApiError {
    ApiError::not_found("there is no media at this resource and key")
}
