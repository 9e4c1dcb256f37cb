//! The OpenAPI description of the answers to downloads.

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
        "Caches may store the answer; private media they must revalidate before each use, public media after `max-age`",
    ),
    ("Vary", "The bytes depend on `Prefer` and `Authorization`"),
];

/// The header of answers that describe the bytes.
const REPR_DIGEST: (&str, &str) = (
    "Repr-Digest",
    "The SHA-256 of the whole media, in base64 (RFC 9530)",
);

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
                // Generators of clients know the first of these as bytes.
                ["application/octet-stream", "*/*"]
                    .map(|content_type| MetaMediaType {
                        content_type,
                        schema: Binary::<Vec<u8>>::schema_ref(),
                    })
                    .into()
            } else {
                vec![]
            },
            headers: match status {
                304 => VALIDATORS.map(documented).into(),
                _ => VALIDATORS
                    .into_iter()
                    .chain([REPR_DIGEST])
                    .map(documented)
                    .collect(),
            },
        };
        let redirect = MetaResponse {
            description: "A redirect to storage, if the service is configured to redirect downloads",
            status: Some(302),
            status_range: None,
            content: vec![],
            headers: vec![
                documented((
                    "Location",
                    "A URL in storage that expires; it needs no token",
                )),
                documented(("Cache-Control", "`no-store`")),
            ],
        };
        MetaResponses {
            responses: vec![
                redirect,
                response(200, "The bytes", true),
                response(
                    204,
                    "Only headers: the client preferred `return=minimal`",
                    false,
                ),
                response(206, "The bytes of the requested range", true),
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
