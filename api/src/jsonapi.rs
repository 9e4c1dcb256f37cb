//! JSON:API 1.1: documents, errors, and the bodies that carry them.

pub mod body;
pub mod error;

pub use body::{JsonApiBody, JsonApiResponse};
pub use error::{ApiError, ErrorCode};

/// The media type of JSON:API.
pub const MEDIA_TYPE: &str = "application/vnd.api+json";
