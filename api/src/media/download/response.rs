//! The answers of downloads as OpenAPI describes them.

use poem::{IntoResponse, Response};
use poem_openapi::{
    ApiResponse,
    payload::{Binary, Payload as _},
    registry::{MetaHeader, MetaMediaType, MetaResponse, MetaResponses, Registry},
    types::Type as _,
};

/// The headers of every answer, and their descriptions.
const VALIDATORS: [(&str, &str); 4] = [
    ("ETag", "The sha256 of the bytes, quoted"),
    ("Last-Modified", "The time of the last change of the media"),
    (
        "Cache-Control",
        "Caches may store it, and must revalidate before they use it",
    ),
    (
        "Vary",
        "`Prefer` decides whether the bytes are sent, `Authorization` which ones",
    ),
];

/// The answer to a download.
pub(super) struct DownloadResponse(pub(super) Response);

impl IntoResponse for DownloadResponse {
    fn into_response(self) -> Response {
        self.0
    }
}

impl ApiResponse for DownloadResponse {
    fn meta() -> MetaResponses {
        let response = |status, description, with_bytes: bool| MetaResponse {
            description,
            status: Some(status),
            status_range: None,
            content: if with_bytes {
                vec![MetaMediaType {
                    content_type: "*/*",
                    schema: Binary::<Vec<u8>>::schema_ref(),
                }]
            } else {
                vec![]
            },
            headers: VALIDATORS.map(documented).into(),
        };
        let redirect = MetaResponse {
            description: "A URL in storage that expires, if the service is configured so",
            status: Some(302),
            status_range: None,
            content: vec![],
            headers: vec![
                documented(("Location", "The URL; it needs no other permission")),
                documented(("Cache-Control", "Not to be stored")),
            ],
        };
        MetaResponses {
            responses: vec![
                redirect,
                response(200, "The bytes", true),
                response(
                    204,
                    "Headers only: the client preferred `return=minimal`",
                    false,
                ),
                response(206, "The bytes in the range asked for", true),
                response(304, "The client's copy is still valid", false),
            ],
        }
    }

    fn register(_: &mut Registry) {}
}

fn documented((name, description): (&str, &str)) -> MetaHeader {
    MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required: true,
        deprecated: false,
        schema: String::schema_ref(),
    }
}
