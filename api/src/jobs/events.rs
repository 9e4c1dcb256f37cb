//! `GET /jobs/{resource_id}/events`: server-sent events.

use std::{future::pending, sync::Arc, time::Duration};

use chrono::Utc;
use futures_util::StreamExt as _;
use media_domain::caller::Caller;
use media_services::Services;
use poem::{IntoResponse, Request, Response, web::sse::SSE};
use poem_openapi::{
    ApiResponse, OpenApi,
    param::{Header, Path},
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::{
    find::find,
    job_watch::{JobWatch, events},
};
use crate::{
    caller::ReadCaller, jsonapi::ApiError, openapi_tags::Tags,
    resource::query_string::refuse_parameters,
};

/// The interval between comments on an idle stream, which keep it open in proxies.
const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(15);
/// The longest duration of a stream; the token may end it earlier.
const MAX_STREAM_DURATION: Duration = Duration::from_hours(24);

/// Streams the events of a job.
pub(crate) struct JobEvents {
    pub(super) services: Arc<Services>,
    pub(super) watch: Arc<JobWatch>,
    pub(super) shutdown: CancellationToken,
}

#[OpenApi(tag = "Tags::Jobs")]
impl JobEvents {
    /// Listen to a job.
    ///
    /// Server-sent events: `progress` with the job's document for each change, then one `end`.
    #[oai(
        path = "/jobs/:resource_id/events",
        method = "get",
        operation_id = "listenToJob"
    )]
    async fn events(
        &self,
        caller: ReadCaller,
        request: &Request,
        /// The job's id.
        resource_id: Path<String>,
        /// The id of the last event that the client has received.
        #[oai(name = "Last-Event-ID")]
        last_event_id: Header<Option<String>>,
    ) -> Result<EventStreamResponse, ApiError> {
        refuse_parameters(request)?;
        let job = find(&self.services, &resource_id, &caller.scope).await?;
        let end = self.shutdown.clone();
        let events = events(&self.watch, &job, last_event_id.0, end);
        // The client can resume the stream with a new token.
        let events = events.take_until(expiry(&caller));
        let stream = SSE::new(events).keep_alive(KEEP_ALIVE_INTERVAL);
        Ok(EventStreamResponse(stream))
    }
}

/// Completes when the caller's token expires.
fn expiry(caller: &Caller) -> impl Future<Output = ()> + Send + use<> {
    let left = match caller {
        Caller::Authenticated(principal) => {
            Some(principal.expires.saturating_sub(Utc::now().timestamp()))
        }
        Caller::Unrestricted | Caller::Anonymous => None,
    };
    async move {
        match left {
            Some(left) => {
                let left = Duration::from_secs(left.max(0).unsigned_abs());
                sleep(left.min(MAX_STREAM_DURATION)).await;
            }
            None => pending().await,
        }
    }
}

/// `text/event-stream`.
struct EventStreamResponse(SSE);

impl IntoResponse for EventStreamResponse {
    fn into_response(self) -> Response {
        self.0.into_response()
    }
}

impl ApiResponse for EventStreamResponse {
    fn meta() -> MetaResponses {
        MetaResponses {
            responses: vec![MetaResponse {
                description: "The events, until the job has ended",
                status: Some(200),
                status_range: None,
                content: vec![MetaMediaType {
                    content_type: "text/event-stream",
                    schema: MetaSchemaRef::Inline(Box::new(event_schema())),
                }],
                headers: vec![],
            }],
        }
    }

    fn register(_: &mut Registry) {}
}

/// The schema of one event.
fn event_schema() -> MetaSchema {
    let text = |description, values: &[&str]| {
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            description: Some(description),
            enum_items: values.iter().map(|value| (*value).into()).collect(),
            ..MetaSchema::new("string")
        }))
    };
    MetaSchema {
        required: vec!["event", "data"],
        properties: vec![
            ("id", text("The value to send as `Last-Event-ID`", &[])),
            ("event", text("The kind of event", &["progress", "end"])),
            (
                "data",
                text(
                    "The job's document; its data is null if the job was deleted",
                    &[],
                ),
            ),
        ],
        ..MetaSchema::new("object")
    }
}
