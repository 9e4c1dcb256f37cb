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
                    schema: MetaSchemaRef::Inline(Box::new(MetaSchema {
                        example: Some(
                            "event: progress\nid: 1\ndata: {\"data\":{\"type\":\"media:jobs\"}}\n\n".into(),
                        ),
                        ..MetaSchema::new("string")
                    })),
                }],
                headers: vec![],
            }],
        }
    }

    fn register(_: &mut Registry) {}
}
