//! `/medias`: list, look up, download, upload and delete.

use std::{sync::Arc, time::Duration};

use media_shared::{config::Config, entities::media, media::MediaPath, services::Services};
use poem::{Request, http::Method};
use poem_openapi::{
    ApiResponse, Enum, OpenApi,
    param::{Path, Query},
};

use crate::{
    Tags,
    jsonapi::{ApiError, ErrorCode, JsonApiResponse},
    resource::{
        document::{Many, One},
        query::{ListQuery, View},
        query_string::{QueryString, refuse_parameters},
    },
};

mod download;
mod fields;
mod frame_budget;
mod headers;
mod info;
mod upload;

use download::{DownloadResponse, Source, download};
pub(crate) use fields::MediaResource;
use info::InfoResponse;
use upload::{UploadForm, Uploads};

/// How a browser treats a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
enum Disposition {
    /// Shows it, if it is of a type that cannot run there.
    Inline,
    /// Saves it.
    Attachment,
}

/// The operations on media.
pub(crate) struct MediasApi {
    services: Arc<Services>,
    uploads: Uploads,
    /// How long a redirect of a download to storage is good for.
    redirect: Option<Duration>,
}

#[derive(ApiResponse)]
enum ListResponse {
    /// A page of the list.
    #[oai(status = 200)]
    Page(JsonApiResponse<Many<MediaResource>>),
}

#[derive(ApiResponse)]
enum UploadResponse {
    /// The media, as it is now kept.
    #[oai(status = 200)]
    Kept(JsonApiResponse<One<MediaResource>>),
}

#[derive(ApiResponse)]
enum DeleteResponse {
    /// The media is gone.
    #[oai(status = 204)]
    Deleted,
}

#[OpenApi(tag = "Tags::Medias")]
impl MediasApi {
    /// List media.
    ///
    /// A page at a time, in the order of creation unless `sort` says otherwise.
    #[oai(path = "/medias", method = "get", operation_id = "listMedias")]
    async fn list(&self, request: &Request) -> Result<ListResponse, ApiError> {
        let query = ListQuery::<MediaResource>::of(request)?;
        let page = self.services.medias.list(query.request()).await?;
        let document = Many::new(&page, &query, Vec::new());
        Ok(ListResponse::Page(JsonApiResponse(document)))
    }

    /// Show a media without a key.
    ///
    /// With `Prefer: return=minimal` the answer is 204 and the record is in its headers.
    #[oai(
        path = "/medias/info/:resource",
        method = "get",
        operation_id = "showMedia"
    )]
    async fn info(
        &self,
        request: &Request,
        /// Where the media is kept.
        resource: Path<String>,
    ) -> Result<InfoResponse, ApiError> {
        self.show(request, &resource, None).await
    }

    /// Show a media.
    ///
    /// With `Prefer: return=minimal` the answer is 204 and the record is in its headers.
    #[oai(
        path = "/medias/info/:resource/:key",
        method = "get",
        operation_id = "showMediaByKey"
    )]
    async fn info_by_key(
        &self,
        request: &Request,
        /// Where the media is kept.
        resource: Path<String>,
        /// Where within the resource.
        key: Path<String>,
    ) -> Result<InfoResponse, ApiError> {
        self.show(request, &resource, Some(&key)).await
    }

    /// Download a media without a key.
    ///
    /// Takes single ranges and conditional requests. With `Prefer: return=minimal` the answer is
    /// 204, headers only.
    #[oai(
        path = "/medias/files/:resource",
        method = "get",
        operation_id = "downloadMedia"
    )]
    async fn file(
        &self,
        request: &Request,
        /// Where the media is kept.
        resource: Path<String>,
        /// `inline` shows media in the browser that cannot run there; `attachment` saves it.
        disposition: Query<Option<Disposition>>,
    ) -> Result<DownloadResponse, ApiError> {
        let inline = disposition.0 == Some(Disposition::Inline);
        self.send(request, Method::GET, &resource, None, inline)
            .await
    }

    /// Download a media.
    ///
    /// Takes single ranges and conditional requests. With `Prefer: return=minimal` the answer is
    /// 204, headers only.
    #[oai(
        path = "/medias/files/:resource/:key",
        method = "get",
        operation_id = "downloadMediaByKey"
    )]
    async fn file_by_key(
        &self,
        request: &Request,
        /// Where the media is kept.
        resource: Path<String>,
        /// Where within the resource.
        key: Path<String>,
        /// `inline` shows media in the browser that cannot run there; `attachment` saves it.
        disposition: Query<Option<Disposition>>,
    ) -> Result<DownloadResponse, ApiError> {
        let inline = disposition.0 == Some(Disposition::Inline);
        self.send(request, Method::GET, &resource, Some(&key), inline)
            .await
    }

    /// The headers of a download of a media without a key.
    #[oai(
        path = "/medias/files/:resource",
        method = "head",
        operation_id = "probeMedia"
    )]
    async fn head(
        &self,
        request: &Request,
        /// Where the media is kept.
        resource: Path<String>,
        /// As for the download.
        disposition: Query<Option<Disposition>>,
    ) -> Result<DownloadResponse, ApiError> {
        let inline = disposition.0 == Some(Disposition::Inline);
        self.send(request, Method::HEAD, &resource, None, inline)
            .await
    }

    /// The headers of a download.
    #[oai(
        path = "/medias/files/:resource/:key",
        method = "head",
        operation_id = "probeMediaByKey"
    )]
    async fn head_by_key(
        &self,
        request: &Request,
        /// Where the media is kept.
        resource: Path<String>,
        /// Where within the resource.
        key: Path<String>,
        /// As for the download.
        disposition: Query<Option<Disposition>>,
    ) -> Result<DownloadResponse, ApiError> {
        let inline = disposition.0 == Some(Disposition::Inline);
        self.send(request, Method::HEAD, &resource, Some(&key), inline)
            .await
    }

    /// Upload a media without a key.
    ///
    /// Expects form data with a file field named `media`. What was there before is replaced.
    #[oai(
        path = "/medias/files/:resource",
        method = "post",
        operation_id = "uploadMedia"
    )]
    async fn upload(
        &self,
        request: &Request,
        /// Where to keep the media.
        resource: Path<String>,
        form: UploadForm,
    ) -> Result<UploadResponse, ApiError> {
        self.keep(request, &resource, None, form).await
    }

    /// Upload a media.
    ///
    /// Expects form data with a file field named `media`. What was there before is replaced.
    #[oai(
        path = "/medias/files/:resource/:key",
        method = "post",
        operation_id = "uploadMediaByKey"
    )]
    async fn upload_by_key(
        &self,
        request: &Request,
        /// Where to keep the media.
        resource: Path<String>,
        /// Where within the resource.
        key: Path<String>,
        form: UploadForm,
    ) -> Result<UploadResponse, ApiError> {
        self.keep(request, &resource, Some(&key), form).await
    }

    /// Delete a media without a key.
    #[oai(
        path = "/medias/files/:resource",
        method = "delete",
        operation_id = "deleteMedia"
    )]
    async fn delete(
        &self,
        request: &Request,
        /// Where the media is kept.
        resource: Path<String>,
    ) -> Result<DeleteResponse, ApiError> {
        self.remove(request, &resource, None).await
    }

    /// Delete a media.
    #[oai(
        path = "/medias/files/:resource/:key",
        method = "delete",
        operation_id = "deleteMediaByKey"
    )]
    async fn delete_by_key(
        &self,
        request: &Request,
        /// Where the media is kept.
        resource: Path<String>,
        /// Where within the resource.
        key: Path<String>,
    ) -> Result<DeleteResponse, ApiError> {
        self.remove(request, &resource, Some(&key)).await
    }
}

impl MediasApi {
    /// The operations, on these services and within the limits of the configuration.
    pub(crate) fn new(services: Services, config: &Config) -> Self {
        let services = Arc::new(services);
        let max_bytes = config.max_bytes.as_u64();
        Self {
            uploads: Uploads::new(Arc::clone(&services), max_bytes, config.worker.limits.stall),
            services,
            redirect: config.download_redirect,
        }
    }

    async fn show(
        &self,
        request: &Request,
        resource: &str,
        key: Option<&str>,
    ) -> Result<InfoResponse, ApiError> {
        let view = View::of(request)?;
        let media = self.find(resource, key).await?;
        Ok(InfoResponse::new(
            media,
            &view,
            headers::wants_minimal(request),
        ))
    }

    async fn send(
        &self,
        request: &Request,
        method: Method,
        resource: &str,
        key: Option<&str>,
        inline: bool,
    ) -> Result<DownloadResponse, ApiError> {
        let mut query = QueryString::of(request);
        query.take("disposition")?;
        query.finish()?;
        let find = || self.find(resource, key);
        let source = Source {
            store: &*self.services.store,
            redirect: self.redirect,
        };
        download(&source, find, request, &method, inline).await
    }

    async fn keep(
        &self,
        request: &Request,
        resource: &str,
        key: Option<&str>,
        form: UploadForm,
    ) -> Result<UploadResponse, ApiError> {
        refuse_parameters(request)?;
        let path = MediaPath::new(resource, key).map_err(|(parameter, error)| {
            ApiError::at_parameter(ErrorCode::InvalidValue, parameter, error.to_string())
        })?;
        let media = self.uploads.take(path, form).await?;
        let document = One::new(&media, &View::full(), Vec::new());
        Ok(UploadResponse::Kept(JsonApiResponse(document)))
    }

    async fn remove(
        &self,
        request: &Request,
        resource: &str,
        key: Option<&str>,
    ) -> Result<DeleteResponse, ApiError> {
        refuse_parameters(request)?;
        let path = MediaPath::new(resource, key).map_err(|_| no_such_media())?;
        if self.services.medias.delete(&path).await? {
            Ok(DeleteResponse::Deleted)
        } else {
            Err(no_such_media())
        }
    }

    async fn find(&self, resource: &str, key: Option<&str>) -> Result<media::Model, ApiError> {
        // What could not be kept is not there.
        let path = MediaPath::new(resource, key).map_err(|_| no_such_media())?;
        self.services
            .medias
            .find(&path)
            .await?
            .ok_or_else(no_such_media)
    }
}

fn no_such_media() -> ApiError {
    ApiError::not_found("there is no media at this resource and key")
}
