//! `PATCH /jobs/{resource_id}`.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use media_database::job_repository::Reschedule;
use media_domain::{clock::to_micros, ids::JobId, job::Priority};
use media_services::Services;
use poem::Request;
use poem_openapi::{Object, OpenApi, param::Path, types::MaybeUndefined};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    attribute_checks::{AttributeFaults, JobType, max_priority},
    document::{JobResponse, document},
    find::find_own,
    wake::wake_for,
};
use crate::{
    caller::WriteCaller,
    jsonapi::{ApiError, ErrorCode, JsonApiBody},
    openapi_tags::Tags,
    resource::query_string::refuse_parameters,
};

/// Changes a waiting job.
pub(crate) struct UpdateJob {
    pub(super) services: Arc<Services>,
    pub(super) user_max_priority: Priority,
}

#[OpenApi(tag = "Tags::Jobs")]
impl UpdateJob {
    /// Change a waiting job.
    ///
    /// Changes its priority, and the time before which it does not start. For a job that runs or has ended, the answer
    /// is 409 `not_waiting`.
    #[oai(
        path = "/jobs/:resource_id",
        method = "patch",
        operation_id = "changeJob"
    )]
    async fn update(
        &self,
        caller: WriteCaller,
        request: &Request,
        /// The job's id.
        resource_id: Path<String>,
        body: JsonApiBody<JobChangeDocument>,
    ) -> Result<JobResponse, ApiError> {
        refuse_parameters(request)?;
        let id = find_own(&self.services, &resource_id, &caller).await?;
        let max_priority = max_priority(&caller, self.user_max_priority);
        let change = check(id, body.0, max_priority)?;
        let job = self.services.jobs.reschedule(id, change).await?;
        wake_for(&self.services, &job);
        Ok(JobResponse::Job(document(&job)))
    }
}

/// Checks all attributes, and reports all faults in one error.
fn check(
    id: JobId,
    document: JobChangeDocument,
    max_priority: Priority,
) -> Result<Reschedule, ApiError> {
    if document.data.id != id.0 {
        return Err(ApiError::at_pointer(
            ErrorCode::Conflict,
            "/data/id",
            "must be the id in the path",
        ));
    }
    let attributes = document.data.attributes.unwrap_or_default();
    let mut faults = AttributeFaults::new(max_priority);
    let change = Reschedule {
        priority: attributes.priority.map(|number| faults.priority(number)),
        scheduled_at: match attributes.scheduled_at {
            MaybeUndefined::Undefined => None,
            MaybeUndefined::Null => Some(None),
            MaybeUndefined::Value(at) => {
                faults.time("scheduled_at", at);
                Some(Some(to_micros(at)))
            }
        },
    };
    faults.finish(Some(change))
}

/// A request to change a waiting job.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "JobChangeDocument", example)]
struct JobChangeDocument {
    /// The job.
    data: JobChangeResource,
}

/// A job to change.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "JobChange")]
struct JobChangeResource {
    /// Always `media:jobs`.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: JobType,
    /// The job's id.
    id: Uuid,
    /// The attributes to change; absent ones keep their values.
    #[serde(default)]
    attributes: Option<JobChangeAttributes>,
}

/// The attributes to change.
#[derive(Clone, Debug, Default, Object, Deserialize)]
#[oai(rename = "JobChangeAttributes")]
#[serde(deny_unknown_fields)]
struct JobChangeAttributes {
    /// -100 to 100, higher first.
    #[oai(nullable)]
    priority: Option<i64>,
    /// The job does not start before this time: RFC 3339 with a zone; null removes the time.
    #[oai(nullable)]
    #[serde(default, deserialize_with = "crate::time::deserialize_nullable")]
    scheduled_at: MaybeUndefined<DateTime<Utc>>,
}

impl poem_openapi::types::Example for JobChangeDocument {
    fn example() -> Self {
        Self {
            data: JobChangeResource {
                kind: JobType::Jobs,
                id: Uuid::from_u128(0x01a2_09d3_ac64_703f_91dc_9aff_cb76_ba68),
                attributes: Some(JobChangeAttributes {
                    priority: Some(50),
                    scheduled_at: MaybeUndefined::Undefined,
                }),
            },
        }
    }
}
