//! Bodies of JSON:API requests, read within limits of size and time, and of answers.

use std::time::Duration;

use media_domain::header_parameters::Parameterized;
use poem::{
    IntoResponse, Request, RequestBody, Response, Result, error::ReadBodyError, http::header,
};
use poem_openapi::{
    ApiExtractor, ApiExtractorType, ExtractParamOptions,
    error::ContentTypeError,
    payload::Payload,
    registry::{MetaMediaType, MetaRequest, MetaSchemaRef, Registry},
    types::{ToJSON, Type},
};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::{ApiError, ErrorCode, MEDIA_TYPE};

/// The largest body. The largest useful document has a URL of 8 KiB and 32 headers of 4 KiB.
const MAX_BODY_BYTES: usize = 256 * 1024;
/// The longest time to receive a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

/// A document that a client sent, as `application/vnd.api+json` or `application/json`.
pub struct JsonApiBody<T>(pub T);

impl<T: Type + DeserializeOwned> JsonApiBody<T> {
    async fn read(request: &Request, body: &mut RequestBody) -> Result<Self, ApiError> {
        // A client that expects `100 Continue` need not send a body that is too large.
        let length = request.header(header::CONTENT_LENGTH);
        if length.and_then(|length| length.parse().ok()) > Some(MAX_BODY_BYTES) {
            return Err(ApiError::from_body(&ReadBodyError::PayloadTooLarge));
        }
        let body = body.take().map_err(|error| ApiError::from_body(&error))?;
        let taken = timeout(BODY_TIMEOUT, body.into_bytes_limit(MAX_BODY_BYTES))
            .await
            .map_err(|_| ApiError::new(ErrorCode::Stalled, "the body took too long to arrive"))?
            .map_err(|error| ApiError::from_body(&error))?;
        // RFC 8259 §8.1 lets a parser ignore a byte order mark.
        let text = taken.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&taken);
        let mut json = serde_json::Deserializer::from_slice(text);
        let value: T =
            serde_path_to_error::deserialize(&mut json).map_err(|error| rejected(&error))?;
        json.end().map_err(|error| malformed(&error))?;
        Ok(Self(value))
    }
}

/// Maps a syntax error to a malformed body, and any other error to an invalid value.
fn rejected(error: &serde_path_to_error::Error<serde_json::Error>) -> ApiError {
    if error.inner().is_data() {
        let pointer = pointer_to(error.path());
        let detail = without_value(sentence(error.inner()));
        // JSON:API 1.1 §7.1, §7.2: a type of another collection is a conflict.
        let code = if pointer == "/data/type" && detail.starts_with("unknown variant") {
            ErrorCode::Conflict
        } else {
            ErrorCode::InvalidValue
        };
        ApiError::at_pointer(code, pointer, detail)
    } else {
        malformed(error.inner())
    }
}

fn malformed(error: &serde_json::Error) -> ApiError {
    let detail = format!("the body is not JSON: {}", sentence(error));
    ApiError::new(ErrorCode::MalformedBody, detail)
}

/// The error without its line and column, which `source.pointer` replaces.
fn sentence(error: &serde_json::Error) -> String {
    let position = format!(" at line {} column {}", error.line(), error.column());
    let text = error.to_string();
    match text.strip_suffix(&position) {
        Some(sentence) => sentence.to_owned(),
        None => text,
    }
}

/// Removes the value from serde's message about a wrong type: it may be a secret in the wrong place.
fn without_value(detail: String) -> String {
    match detail.split_once(", expected ") {
        Some((found, expected)) if found.starts_with("invalid ") => {
            format!("has the wrong type or value: expected {expected}")
        }
        _ => detail,
    }
}

/// Formats a JSON Pointer (RFC 6901).
fn pointer_to(path: &serde_path_to_error::Path) -> String {
    use serde_path_to_error::Segment;
    path.iter()
        .map(|segment| match segment {
            Segment::Seq { index } => format!("/{index}"),
            Segment::Map { key } => format!("/{}", key.replace('~', "~0").replace('/', "~1")),
            Segment::Enum { .. } | Segment::Unknown => String::new(),
        })
        .collect()
}

impl<'a, T: Type + DeserializeOwned> ApiExtractor<'a> for JsonApiBody<T> {
    const TYPES: &'static [ApiExtractorType] = &[ApiExtractorType::RequestObject];
    type ParamType = ();
    type ParamRawType = ();

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn request_meta() -> Option<MetaRequest> {
        // `application/json` is accepted as well. Generators of clients cannot choose between two types.
        let content = vec![MetaMediaType {
            content_type: MEDIA_TYPE,
            schema: T::schema_ref(),
        }];
        Some(MetaRequest {
            description: None,
            content,
            required: true,
        })
    }

    async fn from_request(
        request: &'a Request,
        body: &mut RequestBody,
        _: ExtractParamOptions<Self::ParamType>,
    ) -> Result<Self> {
        match request.content_type() {
            Some(content_type) if is_json_api(content_type) => Ok(Self::read(request, body).await?),
            Some(other) => Err(ContentTypeError::NotSupported {
                content_type: other.to_owned(),
            }
            .into()),
            None => Err(ContentTypeError::ExpectContentType.into()),
        }
    }
}

/// Whether a Content-Type is JSON:API or JSON. JSON:API 1.1 §5.1 allows the parameters `ext` and `profile` only, and
/// this service knows no extension.
fn is_json_api(content_type: &str) -> bool {
    let parsed = Parameterized::parse(content_type.as_bytes());
    let is = |mime: &str| parsed.value.eq_ignore_ascii_case(mime.as_bytes());
    let mut parameters = parsed.parameters.iter();
    is("application/json")
        || is(MEDIA_TYPE) && parameters.all(|parameter| parameter.name == "profile")
}

/// A document in an answer.
pub struct JsonApiResponse<T>(pub T);

impl<T: Type + ToJSON> Payload for JsonApiResponse<T> {
    const CONTENT_TYPE: &'static str = MEDIA_TYPE;

    fn schema_ref() -> MetaSchemaRef {
        T::schema_ref()
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }
}

impl<T: Type + ToJSON> IntoResponse for JsonApiResponse<T> {
    fn into_response(self) -> Response {
        Response::builder()
            .content_type(MEDIA_TYPE)
            .body(self.0.to_json_string())
    }
}
