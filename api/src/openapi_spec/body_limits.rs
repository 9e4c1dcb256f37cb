//! The limits of properties in bodies, for the OpenAPI document. Handlers check them and report all faults at once.
//! Validators of the framework's types would never run, as serde parses the bodies.

use media_domain::{
    caller::Principal,
    job::{Priority, RetryCount, Unicity},
    media::MAX_NAME_BYTES,
};
use serde_json::{Value as Json, json};

use crate::links::signed_link::MAX_LIFETIME;

/// The limits of one property.
pub(super) struct PropertyLimits {
    /// The schema that has the property.
    pub(super) schema: &'static str,
    /// The name of the property.
    pub(super) name: &'static str,
    /// The keywords to add to the schema of the property.
    pub(super) keywords: Json,
}

/// The limits that handlers check.
pub(super) fn body_limits() -> Vec<PropertyLimits> {
    let limits = |schema, name, keywords| PropertyLimits {
        schema,
        name,
        keywords,
    };
    let priority = range(Priority::MIN, Priority::MAX);
    let name = json!({ "minLength": 1, "maxLength": MAX_NAME_BYTES });
    let lifetime = i32::try_from(MAX_LIFETIME.num_seconds()).unwrap_or(i32::MAX);
    let project = json!({ "maxLength": Principal::MAX_NAME_BYTES });
    let types = json!({ "minItems": 1, "maxItems": 32 });
    let (job, import) = ("NewJobAttributes", "NewImportArguments");
    let link = "NewLinkAttributes";
    vec![
        limits(job, "job_class", json!({ "pattern": "^media:import$" })),
        limits(job, "priority", priority.clone()),
        limits(
            job,
            "unicity",
            json!({ "minLength": 1, "maxLength": Unicity::MAX_BYTES }),
        ),
        limits(job, "max_retries", range(0, RetryCount::MAX)),
        limits(job, "project_id", project.clone()),
        limits("JobChangeAttributes", "priority", priority),
        limits(link, "resource", name.clone()),
        limits(link, "key", name.clone()),
        limits(link, "project_id", project.clone()),
        limits(link, "max_bytes", json!({ "minimum": 1.0 })),
        limits(link, "accept_types", types.clone()),
        limits(import, "resource", name.clone()),
        limits(import, "key", name.clone()),
        limits(import, "filename", name),
        limits(import, "sha256", json!({ "pattern": "^[0-9a-fA-F]{64}$" })),
        limits(import, "size", json!({ "minimum": 0.0 })),
        limits(import, "max_bytes", json!({ "minimum": 1.0 })),
        limits(import, "accept_types", types),
        limits(link, "expires_in", range(1, lifetime)),
    ]
}

/// The keywords of an inclusive range.
fn range<N: Into<f64>>(min: N, max: N) -> Json {
    json!({ "minimum": min.into(), "maximum": max.into() })
}
