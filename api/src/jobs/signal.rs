//! `POST /jobs/{resource_id}/signal`.

use std::sync::Arc;

use media_database::job_repository::Signalled;
use media_domain::job::Signal;
use media_services::Services;
use poem::Request;
use poem_openapi::{ApiResponse, Enum, Object, OpenApi, param::Path};
use serde::Deserialize;

use super::{document::document, fields::JobResource, find::find_own, wake::wake_for};
use crate::{
    audit::{self, Action},
    caller::WriteCaller,
    jsonapi::{ApiError, JsonApiBody, JsonApiResponse},
    openapi_tags::Tags,
    resource::{document::ResourceDocument, query_string::refuse_parameters},
};

/// Sends a signal to a job.
pub(crate) struct SignalJob {
    pub(super) services: Arc<Services>,
}

#[derive(ApiResponse)]
enum SignalResponse {
    /// The signal has taken effect.
    #[oai(status = 200)]
    Done(JsonApiResponse<ResourceDocument<JobResource>>),
    /// The job is running; the signal takes effect within two seconds.
    #[oai(status = 202)]
    Requested(JsonApiResponse<ResourceDocument<JobResource>>),
}

#[OpenApi(tag = "Tags::Jobs")]
impl SignalJob {
    /// Signal a job.
    ///
    /// `cancel` ends a job, `pause` suspends it, `resume` continues it, `retry` restarts a job that has failed or was
    /// cancelled. If the job's status does not allow the signal, the answer is 409 `signal_refused`; if another
    /// unfinished job has the same unicity, the answer to `retry` is 409 `unicity_taken`.
    #[oai(
        path = "/jobs/:resource_id/signal",
        method = "post",
        operation_id = "signalJob"
    )]
    async fn signal(
        &self,
        caller: WriteCaller,
        request: &Request,
        /// The job's id.
        resource_id: Path<String>,
        body: JsonApiBody<SignalDocument>,
    ) -> Result<SignalResponse, ApiError> {
        refuse_parameters(request)?;
        let id = find_own(&self.services, &resource_id, &caller).await?;
        let signal = body.0.data.attributes.signal.into();
        let signalled = self.services.jobs.signal(id, signal).await?;
        audit::record(Action::SignalJob(signal), id, &caller);
        match signalled {
            Signalled::Done(job) => {
                wake_for(&self.services, &job);
                Ok(SignalResponse::Done(document(&job)))
            }
            Signalled::Requested(job) => Ok(SignalResponse::Requested(document(&job))),
        }
    }
}

/// A request to signal a job.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "SignalDocument", example)]
struct SignalDocument {
    /// The signal.
    data: SignalResource,
}

/// A signal to a job.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "Signal")]
struct SignalResource {
    /// Always `media:signals`.
    #[oai(rename = "type")]
    #[serde(rename = "type")]
    kind: SignalType,
    /// The attributes.
    attributes: SignalAttributes,
}

/// The type of signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
enum SignalType {
    /// The only value.
    #[oai(rename = "media:signals")]
    #[serde(rename = "media:signals")]
    Signals,
}

/// The attributes of a signal.
#[derive(Clone, Debug, Object, Deserialize)]
#[oai(rename = "SignalAttributes")]
#[serde(deny_unknown_fields)]
struct SignalAttributes {
    /// `cancel` ends the job, `pause` suspends it, `resume` continues it, `retry` restarts it after it has failed or was
    /// cancelled.
    signal: SignalName,
}

/// The signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
enum SignalName {
    /// Ends the job.
    Cancel,
    /// Suspends the job until `resume`.
    Pause,
    /// Continues a paused job.
    Resume,
    /// Restarts a job that has failed or was cancelled.
    Retry,
}

impl From<SignalName> for Signal {
    fn from(name: SignalName) -> Self {
        match name {
            SignalName::Cancel => Self::Cancel,
            SignalName::Pause => Self::Pause,
            SignalName::Resume => Self::Resume,
            SignalName::Retry => Self::Retry,
        }
    }
}

impl poem_openapi::types::Example for SignalDocument {
    fn example() -> Self {
        Self {
            data: SignalResource {
                kind: SignalType::Signals,
                attributes: SignalAttributes {
                    signal: SignalName::Cancel,
                },
            },
        }
    }
}
