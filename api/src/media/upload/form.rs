//! The request body of an upload: a form, `multipart/form-data`.

use media_domain::{
    caller::Principal,
    media::{MAX_META_BYTES, MAX_NAME_BYTES},
};
use media_ingest::IngestError;
use poem::{Body, Request, RequestBody, Result, http::header};
use poem_openapi::{
    impl_apirequest_for_payload,
    payload::{ParsePayload, Payload},
    registry::{MetaSchema, MetaSchemaRef},
};
use serde_json::json;

use super::{
    fields::{FILE_FIELD, META_FIELD},
    raw::content_length,
};
use crate::{
    jsonapi::{ApiError, ErrorCode},
    media::parameters::PROJECT,
    multipart::{self, MULTIPART_OVERHEAD_LIMIT, Multipart},
    resource::openapi_schema::example,
};

/// The digest of the example file, which is `text`.
const EXAMPLE_SHA256: &str = "982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1";

/// A form that was not read yet.
pub(super) struct UploadForm {
    body: Body,
    boundary: String,
    /// `Content-Length`, if the client sends it.
    content_length: Option<u64>,
    expects_continue: bool,
}

/// A form that is being parsed.
pub(super) struct OpenForm {
    pub(super) parts: Multipart,
    /// The smallest possible size of the file, if the client sends `Content-Length`.
    pub(super) min_file_bytes: Option<u64>,
    /// Whether the client waits for a `100 Continue` before it sends the form.
    pub(super) expects_continue: bool,
}

impl UploadForm {
    /// Starts to parse. A form whose `Content-Length` is too large is rejected at once.
    pub(super) fn open(self, max_bytes: u64) -> Result<OpenForm, ApiError> {
        let limit = max_bytes.saturating_add(MULTIPART_OVERHEAD_LIMIT);
        if self.content_length.is_some_and(|length| length > limit) {
            return Err(IngestError::TooLarge { limit: max_bytes }.into());
        }
        // The ingest limits the size of the file itself.
        let parts = Multipart::new(self.body.into_bytes_stream(), &self.boundary, limit);
        let min_file_bytes = self
            .content_length
            .and_then(|length| length.checked_sub(MULTIPART_OVERHEAD_LIMIT));
        Ok(OpenForm {
            parts,
            min_file_bytes,
            expects_continue: self.expects_continue,
        })
    }
}

impl Payload for UploadForm {
    const CONTENT_TYPE: &'static str = "multipart/form-data";

    fn check_content_type(content_type: &str) -> bool {
        multipart::is_form(content_type)
    }

    fn schema_ref() -> MetaSchemaRef {
        let with_description = |schema: MetaSchema, description| {
            MetaSchemaRef::Inline(Box::new(MetaSchema {
                description: Some(description),
                ..schema
            }))
        };
        let text = || MetaSchema::new("string");
        MetaSchemaRef::Inline(Box::new(MetaSchema {
            required: vec![FILE_FIELD],
            properties: vec![
                (
                    "public",
                    with_description(
                        MetaSchema::new("boolean"),
                        "Whether anyone may download the media; default false",
                    ),
                ),
                (
                    "filename",
                    with_description(
                        MetaSchema {
                            min_length: Some(1),
                            max_length: Some(MAX_NAME_BYTES),
                            ..text()
                        },
                        "The name of the file, instead of the one in its part of the form",
                    ),
                ),
                (
                    "sha256",
                    with_description(
                        MetaSchema {
                            pattern: Some("^[0-9a-fA-F]{64}$".to_owned()),
                            ..example(text(), json!(EXAMPLE_SHA256))
                        },
                        "The SHA-256 that the bytes must have",
                    ),
                ),
                (
                    "size",
                    with_description(
                        MetaSchema::new_with_format("integer", "int64"),
                        "The size that the file must have, in bytes",
                    ),
                ),
                (
                    META_FIELD,
                    with_description(
                        MetaSchema {
                            max_length: Some(MAX_META_BYTES),
                            ..example(text(), json!(r#"{"color": "red"}"#))
                        },
                        "Data of the client: a JSON object of at most 16 KiB and 8 levels",
                    ),
                ),
                (
                    "expires_at",
                    with_description(
                        example(
                            MetaSchema::new_with_format("string", "date-time"),
                            json!("2030-01-31T12:00:00Z"),
                        ),
                        "The time from which on the media is gone: RFC 3339 with a zone, in the future",
                    ),
                ),
                (
                    PROJECT,
                    with_description(
                        MetaSchema {
                            max_length: Some(Principal::MAX_NAME_BYTES),
                            ..example(text(), json!(""))
                        },
                        "The project of the media, before the file, if neither the query nor the token decides on it; an empty value selects media without a project",
                    ),
                ),
                (
                    FILE_FIELD,
                    with_description(
                        MetaSchema::new_with_format("string", "binary"),
                        "The file; `file` is accepted as the name of the field as well",
                    ),
                ),
            ],
            ..MetaSchema::new("object")
        }))
    }
}

impl ParsePayload for UploadForm {
    const IS_REQUIRED: bool = true;

    async fn from_request(request: &Request, body: &mut RequestBody) -> Result<Self> {
        let boundary = multipart::boundary(request.content_type().unwrap_or_default());
        let boundary = boundary.ok_or_else(|| {
            ApiError::new(
                ErrorCode::MalformedBody,
                "the form cannot be parsed: its Content-Type names no boundary",
            )
        })?;
        Ok(Self {
            body: body.take()?,
            boundary,
            content_length: content_length(request),
            expects_continue: request.headers().contains_key(header::EXPECT),
        })
    }
}

impl_apirequest_for_payload!(UploadForm,);
