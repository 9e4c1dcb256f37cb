//! The request body of an upload without a form: the bytes of the file.

use media_domain::{
    content_disposition,
    media::{ExpectedDigests, Filename},
};
use media_ingest::IngestError;
use poem::{
    Body, Request, RequestBody, Result,
    http::{HeaderName, HeaderValue, header},
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    payload::{Binary, Payload as _},
    registry::{MetaMediaType, MetaRequest, Registry},
};

use super::digests;
use crate::{
    jsonapi::{ApiError, ErrorCode},
    multipart,
};

/// The type that curl declares for any body unless told otherwise. It says nothing about a file.
const FORM_URLENCODED: &str = "application/x-www-form-urlencoded";

/// A file that was not read yet.
pub(in crate::media) struct RawFile {
    pub(super) body: Body,
    /// `Content-Length`, if the client sends it.
    pub(super) content_length: Option<u64>,
    /// `Content-Type`, if the client declares one.
    pub(super) declared: Option<String>,
    /// The name in `Content-Disposition`.
    pub(super) filename: Option<Filename>,
    /// The digests in `Repr-Digest` and `Content-Digest`.
    pub(super) digests: ExpectedDigests,
}

impl RawFile {
    /// Starts to read. A file whose `Content-Length` is too large is rejected at once.
    pub(super) fn check_size(&self, max_bytes: u64) -> Result<(), ApiError> {
        if self.content_length.is_some_and(|length| length > max_bytes) {
            return Err(IngestError::TooLarge { limit: max_bytes }.into());
        }
        Ok(())
    }
}

/// `Content-Length`, if the client sends it.
pub(super) fn content_length(request: &Request) -> Option<u64> {
    let length = request.header(header::CONTENT_LENGTH)?;
    length.parse().ok()
}

/// Rejects bodies that are not the bytes of the whole file.
fn check_headers(request: &Request) -> Result<(), ApiError> {
    let refused = |code, name: HeaderName, detail: &str| {
        Err(ApiError::at_header(code, name.as_str(), detail))
    };
    if multipart::is_form(request.content_type().unwrap_or_default()) {
        let detail = "the body of a PUT is the file; send forms with POST";
        return refused(
            ErrorCode::UnsupportedMediaType,
            header::CONTENT_TYPE,
            detail,
        );
    }
    let codings = request.headers().get_all(header::CONTENT_ENCODING);
    let is_identity = |value: &HeaderValue| {
        value
            .as_bytes()
            .trim_ascii()
            .eq_ignore_ascii_case(b"identity")
    };
    if !codings.iter().all(is_identity) {
        let detail = "the file must be sent without a content coding";
        return refused(
            ErrorCode::UnsupportedMediaType,
            header::CONTENT_ENCODING,
            detail,
        );
    }
    // RFC 9110 §14.5.
    if request.headers().contains_key(header::CONTENT_RANGE) {
        let detail = "the file must be sent as a whole";
        return refused(ErrorCode::BadRequest, header::CONTENT_RANGE, detail);
    }
    Ok(())
}

impl<'a> ApiExtractor<'a> for RawFile {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(_: &mut Registry) {}

    fn request_meta() -> Option<MetaRequest> {
        Some(MetaRequest {
            description: Some("The bytes of the file, with their own `Content-Type`"),
            content: vec![MetaMediaType {
                content_type: "application/octet-stream",
                schema: Binary::<Vec<u8>>::schema_ref(),
            }],
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        check_headers(request)?;
        let digests = digests::of_request(request.headers())?;
        let declared = request
            .content_type()
            .filter(|declared| !declared.eq_ignore_ascii_case(FORM_URLENCODED));
        let disposition = request.headers().get(header::CONTENT_DISPOSITION);
        Ok(Self {
            body: body.take()?,
            content_length: content_length(request),
            declared: declared.map(str::to_owned),
            filename: disposition.and_then(|field| content_disposition::filename(field.as_bytes())),
            digests,
        })
    }
}
