//! `/medias`: list, look up, download, upload and delete.

use std::{sync::Arc, time::Duration};

use media_shared::{config::Config, services::Services};
use poem::{Request, http::Method};
use poem_openapi::{
    ApiResponse, Enum, OpenApi,
    param::{Path, Query},
};
use serde::Deserialize;

use crate::{
    Tags,
    access::caller_of,
    jsonapi::{ApiError, JsonApiBody, JsonApiResponse},
    resource::{
        document::{Many, One},
        query::ListQuery,
    },
    signed_link::LinkSigner,
};

mod download;
mod fields;
mod headers;
mod info;
mod links;
mod requests;
mod upload;

use download::DownloadResponse;
#[cfg(feature = "fuzzing")]
pub(crate) use download::range_of;
pub(crate) use fields::MediaResource;
use info::InfoResponse;
use links::{FormOrLink, LinkResponse, Links, NewLinkDocument, UploadOrLinkResponse};
use upload::{UploadForm, Uploads};

/// How a browser treats a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum Disposition {
    /// Shows it, if it is of a type that cannot run there.
    Inline,
    /// Saves it.
    Attachment,
}

impl Disposition {
    /// As a query has it.
    fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Attachment => "attachment",
        }
    }
}

/// The operations on media.
pub(crate) struct MediasApi {
    services: Arc<Services>,
    uploads: Uploads,
    /// How long a redirect of a download to storage is good for.
    redirect: Option<Duration>,
    /// Whether browsers may show PDF files in place.
    inline_pdf: bool,
    links: Links,
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
        let sight = caller_of(request).sees()?;
        let query = ListQuery::<MediaResource>::of(request)?;
        let page = self.services.medias.list(query.request(&sight)?).await?;
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
    /// Expects form data with a file field named `media`. What was there before is replaced; with `If-Match` or
    /// `If-None-Match`, only if the condition holds (412 otherwise).
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

    /// Upload a media, or make a link to one without a key.
    ///
    /// Expects form data with a file field named `media`. What was there before is replaced; with `If-Match` or
    /// `If-None-Match`, only if the condition holds (412 otherwise). Where the path ends in `links` and the body is a
    /// document instead, makes a signed link to the media without a key: good for a while, for whoever has it.
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
        /// Where within the resource, or `links`.
        key: Path<String>,
        body: FormOrLink,
    ) -> Result<UploadOrLinkResponse, ApiError> {
        match body {
            FormOrLink::Form(form) => {
                let kept = self.keep(request, &resource, Some(&key), form).await?;
                Ok(kept.into())
            }
            FormOrLink::Link(link) => {
                let made = self.link(request, &resource, None, link.0).await?;
                Ok(made.into())
            }
        }
    }

    /// Make a link to a media.
    ///
    /// A signed link: good for a while, for whoever has it.
    #[oai(
        path = "/medias/files/:resource/:key/links",
        method = "post",
        operation_id = "linkMediaByKey"
    )]
    async fn link_by_key(
        &self,
        request: &Request,
        /// Where the media is kept.
        resource: Path<String>,
        /// Where within the resource.
        key: Path<String>,
        body: JsonApiBody<NewLinkDocument>,
    ) -> Result<LinkResponse, ApiError> {
        self.link(request, &resource, Some(&key), body.0).await
    }

    /// Delete a media without a key.
    ///
    /// With `If-Match` or `If-None-Match`, only if the condition holds (412 otherwise).
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
    ///
    /// With `If-Match` or `If-None-Match`, only if the condition holds (412 otherwise).
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
            inline_pdf: config.http.inline_pdf,
            links: Links {
                signer: config.link_keys.as_ref().map(LinkSigner::new),
                public_url: config.public_url.clone(),
            },
        }
    }
}
