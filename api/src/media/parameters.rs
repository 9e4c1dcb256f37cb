//! The parameters of the query that several operations on media take.

use media_domain::permissions::ProjectSelector;
use poem::Request;
use poem_openapi::registry::MetaSchema;
use serde_json::json;

use super::resource::MediaResource;
use crate::{
    jsonapi::ApiError,
    resource::{
        openapi::{QueryParameter, example, parameter, view_parameters},
        query_string::{QueryString, invalid},
    },
};

/// Names the project of a path, or of a new media.
const PROJECT: &str = "project_id";

/// Takes the project out of a query; an empty one is none.
pub(crate) fn take_project(query: &mut QueryString) -> Result<ProjectSelector, ApiError> {
    match query.take(PROJECT)? {
        None => Ok(ProjectSelector::Any),
        Some(text) => ProjectSelector::new(&text).map_err(|reason| invalid(PROJECT, reason)),
    }
}

/// The project of a request that takes no other parameter.
pub(crate) fn project_of(request: &Request) -> Result<ProjectSelector, ApiError> {
    let mut query = QueryString::from_request(request);
    let project = take_project(&mut query)?;
    query.finish()?;
    Ok(project)
}

/// Takes the key: that of the path, or else that of the query.
pub(super) fn take_key(
    key: Option<&str>,
    query: &mut QueryString,
) -> Result<Option<String>, ApiError> {
    match key {
        Some(key) => Ok(Some(key.to_owned())),
        None => query.take("key"),
    }
}

/// The parameters of every operation on one media.
pub(crate) fn of_path() -> Vec<QueryParameter> {
    let schema = MetaSchema {
        max_length: Some(255),
        ..example(MetaSchema::new("string"), json!("project-1"))
    };
    let description = "The project that the media belongs to, where several have one at this path, or where the token names several; empty for none";
    vec![parameter(PROJECT, schema, description)]
}

/// The parameters of a record.
pub(crate) fn of_record() -> Vec<QueryParameter> {
    let mut parameters = view_parameters::<MediaResource>();
    parameters.extend(of_path());
    parameters
}

/// The parameters of a download: with those of a signed link, which come and go together.
pub(crate) fn of_download() -> Vec<QueryParameter> {
    let text = |text: &str| example(MetaSchema::new("string"), json!(text));
    let mut parameters = of_path();
    parameters.extend([
        parameter(
            "media",
            text("01a209d3-ac64-703f-91dc-9affcb76ba68"),
            "Of a signed link: the media",
        ),
        parameter(
            "expires",
            text("1795463456"),
            "Of a signed link: the time of expiry, in seconds since 1970",
        ),
        parameter(
            "signature",
            text("6-3ecDKUOGAN389qhN3el6W2vM9STbDE0CaIZSe1S2k"),
            "Of a signed link: the signature, which covers `disposition` as well",
        ),
    ]);
    parameters
}
