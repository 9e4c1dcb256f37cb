//! The limits of properties in bodies, as the OpenAPI document shows them. Bodies are parsed by serde and checked by
//! their handlers, which report all faults at once; validators of the framework's types would never run.

use media_domain::{caller::Principal, job::Unicity, media::MAX_NAME_BYTES};
use serde_json::{Value as Json, json};

use crate::links::signed_link::MAX_LIFETIME;

/// The limits of one property.
pub(super) struct PropertyLimits {
    /// The schema that has the property.
    pub(super) schema: &'static str,
    /// The property.
    pub(super) name: &'static str,
    /// Keywords of its schema.
    pub(super) keywords: Json,
}

/// The limits that handlers check.
pub(super) fn body_limits() -> Vec<PropertyLimits> {
    let of = |schema, name, keywords| PropertyLimits {
        schema,
        name,
        keywords,
    };
    let priority = json!({ "minimum": -100.0, "maximum": 100.0 });
    let name = json!({ "minLength": 1, "maxLength": MAX_NAME_BYTES });
    let lifetime = f64::from(i32::try_from(MAX_LIFETIME.num_seconds()).unwrap_or(i32::MAX));
    let (job, import) = ("NewJobAttributes", "NewImportArguments");
    vec![
        of(job, "job_class", json!({ "pattern": "^media:import$" })),
        of(job, "priority", priority.clone()),
        of(
            job,
            "unicity",
            json!({ "minLength": 1, "maxLength": Unicity::MAX_BYTES }),
        ),
        of(
            job,
            "max_retries",
            json!({ "minimum": 0.0, "maximum": 100.0 }),
        ),
        of(
            job,
            "project_id",
            json!({ "maxLength": Principal::MAX_NAME_BYTES }),
        ),
        of("JobChangeAttributes", "priority", priority),
        of(import, "resource", name.clone()),
        of(import, "key", name.clone()),
        of(import, "filename", name),
        of(import, "sha256", json!({ "pattern": "^[0-9a-fA-F]{64}$" })),
        of(import, "size", json!({ "minimum": 0.0 })),
        of(import, "max_bytes", json!({ "minimum": 1.0 })),
        of(
            import,
            "accept_types",
            json!({ "minItems": 1, "maxItems": 32 }),
        ),
        of(
            "NewLinkAttributes",
            "expires_in",
            json!({ "minimum": 1.0, "maximum": lifetime }),
        ),
    ]
}
