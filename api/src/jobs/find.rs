//! Looks up the job that a path names.

use media_database::entities::job;
use media_domain::{ids::JobId, permissions::ReadScope};
use media_services::Services;
use uuid::Uuid;

use crate::{caller::WriteCaller, jsonapi::ApiError};

/// Finds a job that the caller may read.
pub(super) async fn find(
    services: &Services,
    id: &str,
    scope: &ReadScope,
) -> Result<job::Model, ApiError> {
    let id = Uuid::try_parse(id).map(JobId).map_err(|_| no_such_job())?;
    let found = services.jobs.find_readable(id, scope).await?;
    found.ok_or_else(no_such_job)
}

/// Finds a job that the caller may change. The owner of a job never changes, so the result stays valid until the change.
pub(super) async fn find_own(
    services: &Services,
    id: &str,
    caller: &WriteCaller,
) -> Result<JobId, ApiError> {
    let job = find(services, id, &caller.reach.projects).await?;
    caller.reach.allows(job.created_by.as_deref())?;
    Ok(job.id)
}

pub(super) fn no_such_job() -> ApiError {
    ApiError::not_found("there is no job with this id")
}
