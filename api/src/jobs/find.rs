//! Looks up the job that a path names.

use media_shared::{access::Sight, entities::job, ids::JobId, services::Services};
use uuid::Uuid;

use crate::{caller::WriteCaller, jsonapi::ApiError};

/// Finds a job that the caller may read.
pub(super) async fn find(
    services: &Services,
    id: &str,
    sight: &Sight,
) -> Result<job::Model, ApiError> {
    let id = Uuid::try_parse(id).map(JobId).map_err(|_| no_such_job())?;
    let found = services.jobs.find_seen(id, sight).await?;
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
