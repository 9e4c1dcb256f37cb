//! `/medias`: list, look up, download, upload and delete.

use std::{sync::Arc, time::Duration};

use media_shared::{entities::media, media::MediaPath, services::Services};
use poem::{Request, http::Method};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Path, Query},
};

use crate::{
    Tags,
    jsonapi::{ApiError, ErrorCode, JsonApiResponse, ListLinks},
    listing::{LIST_PARAMETERS, page_request, refuse_unknown_parameters},
};

mod document;
mod download;
mod headers;
mod info;
mod upload;

use document::{MediaDocument, MediaList};
use download::{DownloadResponse, download};
use info::InfoResponse;
use upload::{UploadForm, Uploads};

/// The parameters of a download.
const DOWNLOAD_PARAMETERS: [&str; 1] = ["disposition"];

/// The operations on media.
pub struct MediasApi {
    services: Arc<Services>,
    uploads: Uploads,
}

#[derive(ApiResponse)]
enum ListResponse {
    /// A page of the list.
    #[oai(status = 200)]
    Page(JsonApiResponse<MediaList>),
}

#[derive(ApiResponse)]
enum UploadResponse {
    /// The media, as it is now kept.
    #[oai(status = 200)]
    Kept(JsonApiResponse<MediaDocument>),
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
    /// In the order of creation, a page at a time.
    #[oai(path = "/medias", method = "get", operation_id = "listMedias")]
    async fn list(
        &self,
        request: &Request,
        /// The page number, default to 1.
        #[oai(name = "page[number]", validator(minimum(value = "1")))]
        number: Query<Option<u32>>,
        /// The number of items per page, default to 1000, which is also the most.
        #[oai(
            name = "page[size]",
            validator(minimum(value = "1"), maximum(value = "1000"))
        )]
        size: Query<Option<u32>>,
        /// The cursor of a link `next`, instead of a page number.
        #[oai(name = "page[after]")]
        after: Query<Option<String>>,
        /// Set to true to return the total number of items in the collection.
        count: Query<Option<bool>>,
    ) -> Result<ListResponse, ApiError> {
        refuse_unknown_parameters(request, &LIST_PARAMETERS)?;
        let wanted = page_request(number.0, size.0, after.0.as_deref(), count.0)?;
        let page = self.services.medias.list(wanted).await?;
        let links = ListLinks::of("/medias", wanted, &page, |media| media.id.0);
        Ok(ListResponse::Page(JsonApiResponse(MediaList::new(
            page, links,
        ))))
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
        disposition: Query<Option<String>>,
    ) -> Result<DownloadResponse, ApiError> {
        let inline = wants_inline(disposition.0.as_deref())?;
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
        disposition: Query<Option<String>>,
    ) -> Result<DownloadResponse, ApiError> {
        let inline = wants_inline(disposition.0.as_deref())?;
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
        disposition: Query<Option<String>>,
    ) -> Result<DownloadResponse, ApiError> {
        let inline = wants_inline(disposition.0.as_deref())?;
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
        disposition: Query<Option<String>>,
    ) -> Result<DownloadResponse, ApiError> {
        let inline = wants_inline(disposition.0.as_deref())?;
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
    /// The operations, on these services. An upload takes at most `max_bytes`, and ends when no
    /// byte comes for the length of `stall`.
    pub fn new(services: Services, max_bytes: u64, stall: Duration) -> Self {
        let services = Arc::new(services);
        Self {
            uploads: Uploads::new(Arc::clone(&services), max_bytes, stall),
            services,
        }
    }

    async fn show(
        &self,
        request: &Request,
        resource: &str,
        key: Option<&str>,
    ) -> Result<InfoResponse, ApiError> {
        refuse_unknown_parameters(request, &[])?;
        let media = self.find(resource, key).await?;
        Ok(InfoResponse::new(media, headers::wants_minimal(request)))
    }

    async fn send(
        &self,
        request: &Request,
        method: Method,
        resource: &str,
        key: Option<&str>,
        inline: bool,
    ) -> Result<DownloadResponse, ApiError> {
        refuse_unknown_parameters(request, &DOWNLOAD_PARAMETERS)?;
        let find = || self.find(resource, key);
        download(&*self.services.store, find, request, &method, inline).await
    }

    async fn keep(
        &self,
        request: &Request,
        resource: &str,
        key: Option<&str>,
        form: UploadForm,
    ) -> Result<UploadResponse, ApiError> {
        refuse_unknown_parameters(request, &[])?;
        let path = MediaPath::new(resource, key).map_err(|(parameter, error)| {
            ApiError::at_parameter(ErrorCode::InvalidValue, parameter, error.to_string())
        })?;
        let media = self.uploads.take(path, form).await?;
        Ok(UploadResponse::Kept(JsonApiResponse(MediaDocument::new(
            media,
        ))))
    }

    async fn remove(
        &self,
        request: &Request,
        resource: &str,
        key: Option<&str>,
    ) -> Result<DeleteResponse, ApiError> {
        refuse_unknown_parameters(request, &[])?;
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

fn wants_inline(disposition: Option<&str>) -> Result<bool, ApiError> {
    match disposition {
        None | Some("attachment") => Ok(false),
        Some("inline") => Ok(true),
        Some(_) => Err(ApiError::at_parameter(
            ErrorCode::InvalidValue,
            "disposition",
            "must be `inline` or `attachment`",
        )),
    }
}
