//! JSON:API 1.1: documents, errors, and the bodies that carry them.

pub mod body;
pub mod error;
pub mod links;
pub mod timestamp;

pub use body::{JsonApiBody, JsonApiResponse};
pub use error::{ApiError, ErrorCode};
pub use links::ListLinks;
pub use timestamp::Timestamp;

/// The media type of JSON:API.
pub const MEDIA_TYPE: &str = "application/vnd.api+json";
