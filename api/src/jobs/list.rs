//! `GET /jobs`.

use std::sync::Arc;

use media_services::Services;
use poem::Request;
use poem_openapi::{ApiResponse, OpenApi};

use super::{document::included, fields::JobResource};
use crate::{
    caller::ReadCaller,
    jsonapi::{ApiError, JsonApiResponse},
    openapi_tags::Tags,
    resource::{document::ListDocument, list_query::ListQuery},
};

/// Lists jobs.
pub(crate) struct ListJobs {
    pub(super) services: Arc<Services>,
}

#[derive(ApiResponse)]
enum ListResponse {
    /// A page of the list.
    #[oai(status = 200)]
    Page(JsonApiResponse<ListDocument<JobResource>>),
}

#[OpenApi(tag = "Tags::Jobs")]
impl ListJobs {
    /// List jobs.
    ///
    /// A page at a time, in the order of creation unless `sort` says otherwise.
    #[oai(path = "/jobs", method = "get", operation_id = "listJobs")]
    async fn list(&self, caller: ReadCaller, request: &Request) -> Result<ListResponse, ApiError> {
        let query = ListQuery::<JobResource>::from_request(request)?;
        let jobs = &self.services.jobs;
        let page = jobs.list(query.request(&caller.scope)?).await?;
        let included = included(&self.services, &query.view, &page.items, &caller.scope).await?;
        let document = ListDocument::new(&page, &query, included);
        Ok(ListResponse::Page(JsonApiResponse(document)))
    }
}
