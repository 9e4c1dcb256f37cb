//! JSON:API 1.1: documents, errors, and the bodies that carry them.

pub mod body;
pub mod error;

use poem_openapi::Object;

pub use body::{JsonApiBody, JsonApiResponse};
pub use error::{ApiError, ErrorCode, Fault};

/// The media type of JSON:API.
pub const MEDIA_TYPE: &str = "application/vnd.api+json";
/// The version of JSON:API that the documents conform to.
pub const VERSION: &str = "1.1";

/// The member `jsonapi` of a document.
#[derive(Clone, Debug, Object)]
#[oai(rename = "JsonApi")]
pub struct Implementation {
    /// The version.
    version: String,
}

impl Default for Implementation {
    fn default() -> Self {
        Self {
            version: VERSION.to_owned(),
        }
    }
}
