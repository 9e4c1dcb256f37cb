//! The groups of operations in the OpenAPI document.

use poem_openapi::Tags as TagsDerive;

/// The parts of the API.
#[derive(TagsDerive)]
pub(crate) enum Tags {
    /// The job records: create, view, list, delete.
    Jobs,
    /// The media records and their bytes.
    Medias,
    /// The signed links: create.
    Links,
    /// Liveness, readiness and metrics of the service.
    Health,
}
