//! The query parameters that several operations on media share.

use media_domain::permissions::ProjectSelector;
use poem::Request;
use poem_openapi::registry::{MetaOperationParam, MetaParamIn, MetaSchema, MetaSchemaRef};
use serde_json::json;

use super::fields::MediaResource;
use crate::{
    jsonapi::ApiError,
    resource::{
        openapi_schema::{QueryParameter, example, parameter, view_parameters},
        query_string::{QueryString, invalid},
    },
};

/// The parameter that names the project of a media.
pub(super) const PROJECT: &str = "project_id";

/// Takes the project out of a query. An empty value selects media without a project.
pub(crate) fn take_project(query: &mut QueryString) -> Result<ProjectSelector, ApiError> {
    match query.take(PROJECT)? {
        None => Ok(ProjectSelector::Any),
        Some(text) => {
            ProjectSelector::new(&text).map_err(|error| invalid(PROJECT, error.to_string()))
        }
    }
}

/// Parses the project in the query of a request that has no other parameters.
pub(crate) fn project_of(request: &Request) -> Result<ProjectSelector, ApiError> {
    let mut query = QueryString::from_request(request);
    let project = take_project(&mut query)?;
    query.finish()?;
    Ok(project)
}

/// Returns the key of the path, or else takes the one of the query.
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
pub(crate) fn path_parameters() -> Vec<QueryParameter> {
    let schema = MetaSchema {
        max_length: Some(255),
        ..example(MetaSchema::new("string"), json!("project-1"))
    };
    let description = "The project of the media, needed if several projects have one at this path, or if the token names several; an empty value selects media without a project";
    vec![parameter(PROJECT, schema, description)]
}

/// The parameters of an upload, including those of a signed link, which are both present or both absent.
pub(crate) fn upload_parameters() -> Vec<QueryParameter> {
    let text = |text: &str| example(MetaSchema::new("string"), json!(text));
    let mut parameters = path_parameters();
    parameters.extend([
        parameter(
            "upload",
            text("eyJwYXRoIjp7InJlc291cmNlIjoiYXZhdGFycyJ9LCJleHBpcmVzIjoxNzk1NDYzNDU2fQ"),
            "Signed link: the permission to upload",
        ),
        parameter(
            "signature",
            text("6-3ecDKUOGAN389qhN3el6W2vM9STbDE0CaIZSe1S2k"),
            "Signed link: the signature",
        ),
    ]);
    parameters
}

/// The parameters of an upload without a form.
pub(crate) fn put_parameters() -> Vec<QueryParameter> {
    let mut parameters = upload_parameters();
    parameters.push(parameter(
        "public",
        MetaSchema {
            default: Some(json!(false)),
            ..MetaSchema::new("boolean")
        },
        "Whether anyone may download the media",
    ));
    parameters
}

/// The headers of an upload without a form.
pub(crate) fn put_headers() -> Vec<MetaOperationParam> {
    let parameter = |name: &str, description: &str| MetaOperationParam {
        name: name.to_owned(),
        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
        in_type: MetaParamIn::Header,
        description: Some(description.to_owned()),
        required: false,
        deprecated: false,
        explode: true,
        style: None,
    };
    vec![
        parameter(
            "Repr-Digest",
            "Digests that the file must have, such as `sha-256=:…:` in base64 (RFC 9530); `sha-256` and `sha-512` are verified, other algorithms are ignored",
        ),
        parameter("Content-Digest", "The same as `Repr-Digest`"),
    ]
}

/// The parameters of a record.
pub(crate) fn record_parameters() -> Vec<QueryParameter> {
    let mut parameters = view_parameters::<MediaResource>();
    parameters.extend(path_parameters());
    parameters
}

/// The parameters of a download, including those of a signed link, which are all present or all absent.
pub(crate) fn download_parameters() -> Vec<QueryParameter> {
    let text = |text: &str| example(MetaSchema::new("string"), json!(text));
    let mut parameters = path_parameters();
    parameters.extend([
        parameter(
            "media",
            text("01a209d3-ac64-703f-91dc-9affcb76ba68"),
            "Signed link: the media",
        ),
        parameter(
            "expires",
            text("1795463456"),
            "Signed link: the time of expiry, in seconds since 1970",
        ),
        parameter(
            "signature",
            text("6-3ecDKUOGAN389qhN3el6W2vM9STbDE0CaIZSe1S2k"),
            "Signed link: the signature, which covers `disposition` as well",
        ),
    ]);
    parameters
}
