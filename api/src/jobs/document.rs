//! Documents of jobs, and the media that they include.

use media_database::entities::job;
use media_domain::permissions::ReadScope;
use media_services::Services;
use poem_openapi::ApiResponse;
use serde_json::Value as Json;

use super::fields::{self, JobResource};
use crate::{
    jsonapi::{ApiError, JsonApiResponse},
    media::MediaResource,
    resource::{
        document::{ResourceDocument, resource_object},
        view::View,
    },
};

#[derive(ApiResponse)]
pub(super) enum JobResponse {
    /// The job.
    #[oai(status = 200)]
    Job(JsonApiResponse<ResourceDocument<JobResource>>),
}

/// Creates a document of a job with all its fields.
pub(super) fn document(job: &job::Model) -> JsonApiResponse<ResourceDocument<JobResource>> {
    JsonApiResponse(ResourceDocument::with_all_fields(job))
}

/// Returns the media that jobs have stored, if the view includes them.
pub(super) async fn included(
    services: &Services,
    view: &View<JobResource>,
    jobs: &[job::Model],
    scope: &ReadScope,
) -> Result<Vec<Json>, ApiError> {
    if !view.include.contains(&fields::MEDIA) {
        return Ok(Vec::new());
    }
    let mut ids: Vec<_> = jobs.iter().filter_map(fields::media_of).collect();
    ids.sort();
    ids.dedup();
    let media_view = View::<MediaResource>::for_included(&view.other_fields)?;
    let found = services.medias.find_all(ids, scope).await?;
    Ok(found
        .iter()
        .map(|media| resource_object::<MediaResource>(media, &media_view))
        .collect())
}
