//! `GET` and `HEAD` of `/medias/files/{resource}` and `/medias/files/{resource}/{key}`.

use std::{sync::Arc, time::Duration};

use media_database::entities::media;
use media_domain::{
    media::MediaPath,
    permissions::{MediaReadScope, ProjectSelector},
};
use media_services::Services;
use poem::Request;
use poem_openapi::{
    OpenApi,
    param::{Path, Query},
};

use super::{
    disposition::Disposition,
    find::{RequestedMedia, find, no_such_media},
    parameters::{take_key, take_project},
};
use crate::{
    caller::MaybeCaller,
    jsonapi::ApiError,
    links::redeem::{LinkVerifier, RedeemedLink},
    openapi_tags::Tags,
    resource::query_string::QueryString,
};

mod answer;
pub(crate) mod conditions;
mod response;

use answer::{Source, answer_download};
use response::DownloadResponse;

/// The shortest validity of a URL that storage signs.
const MIN_REDIRECT_LIFETIME: Duration = Duration::from_secs(1);

/// Downloads a media.
pub(crate) struct DownloadMedia {
    pub(super) services: Arc<Services>,
    pub(super) links: LinkVerifier,
    /// The validity of redirects to storage, if clients are redirected.
    pub(super) redirect: Option<Duration>,
    /// Whether browsers may show PDF files inline.
    pub(super) inline_pdf: bool,
    /// The longest time for which caches may use public media without asking.
    pub(super) public_max_age: Duration,
}

#[OpenApi(tag = "Tags::Medias")]
impl DownloadMedia {
    /// Download a media without a key.
    ///
    /// Supports single ranges and conditional requests. With `Prefer: return=minimal` the answer is
    /// 204 and only headers.
    #[oai(
        path = "/medias/files/:resource",
        method = "get",
        operation_id = "downloadMedia"
    )]
    async fn download(
        &self,
        caller: MaybeCaller,
        request: &Request,
        /// The resource of the media.
        resource: Path<String>,
        /// `inline` makes browsers show media whose type cannot run scripts; `attachment` makes them save it.
        disposition: Query<Option<Disposition>>,
    ) -> Result<DownloadResponse, ApiError> {
        let requested = RequestedMedia::new(&resource, None);
        self.send(&caller, request, requested, disposition.0).await
    }

    /// Download a media.
    ///
    /// Supports single ranges and conditional requests. With `Prefer: return=minimal` the answer is
    /// 204 and only headers.
    #[oai(
        path = "/medias/files/:resource/:key",
        method = "get",
        operation_id = "downloadMediaByKey"
    )]
    async fn download_by_key(
        &self,
        caller: MaybeCaller,
        request: &Request,
        /// The resource of the media.
        resource: Path<String>,
        /// The key within the resource.
        key: Path<String>,
        /// `inline` makes browsers show media whose type cannot run scripts; `attachment` makes them save it.
        disposition: Query<Option<Disposition>>,
    ) -> Result<DownloadResponse, ApiError> {
        let requested = RequestedMedia::new(&resource, Some(&key));
        self.send(&caller, request, requested, disposition.0).await
    }

    /// The headers of a download of a media without a key.
    ///
    /// The answer is the same as that to GET, without the bytes.
    #[oai(
        path = "/medias/files/:resource",
        method = "head",
        operation_id = "probeMedia"
    )]
    async fn probe(
        &self,
        caller: MaybeCaller,
        request: &Request,
        /// The resource of the media.
        resource: Path<String>,
        /// The same as for the download.
        disposition: Query<Option<Disposition>>,
    ) -> Result<DownloadResponse, ApiError> {
        let requested = RequestedMedia::new(&resource, None);
        self.send(&caller, request, requested, disposition.0).await
    }

    /// The headers of a download.
    ///
    /// The answer is the same as that to GET, without the bytes.
    #[oai(
        path = "/medias/files/:resource/:key",
        method = "head",
        operation_id = "probeMediaByKey"
    )]
    async fn probe_by_key(
        &self,
        caller: MaybeCaller,
        request: &Request,
        /// The resource of the media.
        resource: Path<String>,
        /// The key within the resource.
        key: Path<String>,
        /// The same as for the download.
        disposition: Query<Option<Disposition>>,
    ) -> Result<DownloadResponse, ApiError> {
        let requested = RequestedMedia::new(&resource, Some(&key));
        self.send(&caller, request, requested, disposition.0).await
    }
}

impl DownloadMedia {
    async fn send(
        &self,
        caller: &MaybeCaller,
        request: &Request,
        requested: RequestedMedia<'_>,
        disposition: Option<Disposition>,
    ) -> Result<DownloadResponse, ApiError> {
        let mut query = QueryString::from_request(request);
        let link = self.links.take(&mut query)?;
        query.take("disposition")?;
        let project = take_project(&mut query)?;
        let key = match &link {
            // A signed link has no other parameters.
            Some(_) => {
                query.finish()?;
                requested.key.map(str::to_owned)
            }
            // A link without its signature.
            None if query.peek("media").is_some() => {
                return Err(query.finish().err().unwrap_or_else(no_such_media));
            }
            // Unknown parameters are ignored: pages add some, such as `v` against stale caches.
            None => take_key(requested.key, &mut query)?,
        };
        let requested = RequestedMedia {
            key: key.as_deref(),
            ..requested
        };
        let find = || self.find(link.as_ref(), requested, &caller.scope, &project);
        let valid_for = link.as_ref().and_then(|link| link.valid_for.to_std().ok());
        let source = Source {
            store: &*self.services.store,
            inline_pdf: self.inline_pdf,
            public_max_age: self.public_max_age,
            // The redirect of a link expires no later than the link.
            redirect: match (self.redirect, valid_for) {
                (Some(redirect), Some(valid_for)) => {
                    Some(redirect.min(valid_for.max(MIN_REDIRECT_LIFETIME)))
                }
                (redirect, _) => redirect,
            },
        };
        let inline = disposition == Some(Disposition::Inline);
        answer_download(&source, find, request, inline).await
    }

    /// Finds the media of a link, or the one that the caller may read.
    async fn find(
        &self,
        link: Option<&RedeemedLink>,
        requested: RequestedMedia<'_>,
        scope: &MediaReadScope,
        project: &ProjectSelector,
    ) -> Result<media::Model, ApiError> {
        let Some(link) = link else {
            return find(&self.services, requested, scope, project).await;
        };
        let medias = &self.services.medias;
        let found = medias.find_by_id(link.media).await?;
        let media = found.ok_or_else(no_such_media)?;
        // The signature covers the id of the media, not the path: a link stays valid when its media is moved, as long as
        // no other one is at the path.
        if !requested.matches(&media) {
            let path = MediaPath::new(requested.resource, requested.key);
            let path = path.map_err(|_| no_such_media())?;
            let other = medias.find_in(&path, media.project_id.as_deref()).await?;
            if other.is_some() {
                return Err(no_such_media());
            }
        }
        Ok(media)
    }
}
