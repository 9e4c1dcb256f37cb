//! `GET /medias`.

use std::sync::Arc;

use media_services::Services;
use poem::Request;
use poem_openapi::{ApiResponse, OpenApi};

use super::fields::MediaResource;
use crate::{
    caller::ReadCaller,
    jsonapi::{ApiError, JsonApiResponse},
    openapi_tags::Tags,
    resource::{document::ListDocument, list_query::ListQuery},
};

/// Lists media.
pub(crate) struct ListMedia {
    pub(super) services: Arc<Services>,
}

#[derive(ApiResponse)]
enum ListResponse {
    /// A page of the list.
    #[oai(status = 200)]
    Page(JsonApiResponse<ListDocument<MediaResource>>),
}

#[OpenApi(tag = "Tags::Medias")]
impl ListMedia {
    /// List media.
    ///
    /// A page at a time, in the order of creation unless `sort` says otherwise.
    #[oai(path = "/medias", method = "get", operation_id = "listMedias")]
    async fn list(&self, caller: ReadCaller, request: &Request) -> Result<ListResponse, ApiError> {
        let query = ListQuery::<MediaResource>::from_request(request)?;
        let media = &self.services.medias;
        let page = media.list(query.request(&caller.scope)?).await?;
        let document = ListDocument::new(&page, &query, Vec::new());
        Ok(ListResponse::Page(JsonApiResponse(document)))
    }
}
