//! A stream of events as an answer that OpenAPI describes.

use poem::{IntoResponse, Response, web::sse::SSE};
use poem_openapi::{
    ApiResponse,
    registry::{MetaMediaType, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry},
};

/// `text/event-stream`.
pub(super) struct EventStreamResponse(pub(super) SSE);

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

/// One event of the stream.
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
            ("id", text("To be sent back as `Last-Event-ID`", &[])),
            ("event", text("What happened", &["progress", "end"])),
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
