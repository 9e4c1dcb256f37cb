//! Adds to the OpenAPI description what follows from the tables of resources, which the framework's
//! macros cannot know.

use std::collections::HashMap;

use poem::{endpoint::BoxEndpoint, http::Method};
use poem_openapi::{
    OpenApi,
    registry::{MetaApi, MetaOperation, Registry},
};

use serde_json::{Value as Json, json};

use crate::{
    authentication::{Access, access},
    jobs::JobResource,
    medias::MediaResource,
    resource::openapi::{
        ASKS_FOR_NULL, link_parameters, list_parameters, project_parameter, view_parameters,
    },
};

/// Operations with the parameters of their resources.
pub(crate) struct Described<T>(pub(crate) T);

impl<T: OpenApi> OpenApi for Described<T> {
    fn meta() -> Vec<MetaApi> {
        let mut apis = T::meta();
        let operations = apis
            .iter_mut()
            .flat_map(|api| &mut api.paths)
            .flat_map(|path| &mut path.operations);
        operations.for_each(describe);
        apis
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, routes: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        self.0.add_routes(routes);
    }
}

/// The text of `/docs`: the page, with everything that it needs in it, and the completed document in the
/// place of the framework's.
pub(crate) fn page(html: &str, spec: &str, document: &str) -> String {
    html.replace(spec, document)
}

/// Completes the framework's document, with who may use what where there is authentication. What the
/// framework writes is JSON; were it not, its own document would serve.
pub(crate) fn complete(document: &str, guarded: bool) -> String {
    completed(document, guarded).unwrap_or_else(|error| {
        tracing::error!(%error, "the OpenAPI document could not be completed");
        document.to_owned()
    })
}

/// Completes the framework's document with what its types cannot say: empty values where null can be
/// asked for, closed objects, an example of everything, and who may use what.
fn completed(document: &str, guarded: bool) -> Result<String, serde_json::Error> {
    let mut document: Json = serde_json::from_str(document)?;
    if guarded {
        add_security(&mut document);
    }
    for name in CLOSED_SCHEMAS {
        document["components"]["schemas"][name]["additionalProperties"] = json!(false);
    }
    let schemas = document["components"]["schemas"].clone();
    let operations = members(&mut document["paths"]).flat_map(|(_, path)| members(path));
    for (_, operation) in operations {
        let parameters = operation.get_mut("parameters").and_then(Json::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            complete_parameter(parameter, &schemas);
        }
        if let Some(body) = operation.get_mut("requestBody") {
            complete_content(body, &schemas);
        }
        let responses = operation.get_mut("responses").into_iter().flat_map(members);
        for (_, response) in responses {
            complete_content(response, &schemas);
            let headers = response.get_mut("headers").into_iter().flat_map(members);
            for (name, header) in headers {
                let known = named_example(name);
                header["example"] = known.unwrap_or_else(|| example(&header["schema"], &schemas));
            }
        }
    }
    serde_json::to_string(&document)
}

/// Says which operations need a token (OpenAPI 3.0 §4.7.9, §4.7.30).
fn add_security(document: &mut Json) {
    document["components"]["securitySchemes"]["token"] = json!({
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A JSON Web Token that names the caller",
    });
    for (path, operations) in members(&mut document["paths"]) {
        for (method, operation) in members(operations) {
            let Ok(method) = method.to_ascii_uppercase().parse() else {
                continue;
            };
            operation["security"] = match access(&method, path) {
                Access::Open => json!([]),
                Access::Public => json!([{}, { "token": [] }]),
                Access::Guarded => json!([{ "token": [] }]),
            };
        }
    }
}

/// What takes no members but its own; documents and resources take any (JSON:API 1.1 §7).
const CLOSED_SCHEMAS: [&str; 5] = [
    "JobChangeAttributes",
    "NewImportArguments",
    "NewJobAttributes",
    "NewLinkAttributes",
    "SignalAttributes",
];

/// Examples of what has no schema of its own.
fn named_example(name: &str) -> Option<Json> {
    let text = match name.to_ascii_lowercase().as_str() {
        "resource_id" | "x-media-id" => "01a209d3-ac64-703f-91dc-9affcb76ba68",
        "resource" | "x-media-resource" => "avatars",
        "key" | "x-media-key" => "42",
        "disposition" => "inline",
        "last-event-id" => "1795463456239231",
        "location" => "/jobs/01a209d3-ac64-703f-91dc-9affcb76ba68",
        "etag" => "\"0b087324795ab8dc238ffffa380f3da0d316536cbb6b9bcb35184b381e84153c\"",
        "last-modified" => "Mon, 23 Nov 2026 19:13:16 GMT",
        "cache-control" => "private, no-cache",
        "vary" => "Prefer, Authorization",
        "preference-applied" => "return=minimal",
        "x-media-filename" => "portrait.jpg",
        "x-media-size" => "20258",
        "x-media-type" => "image/jpeg",
        "x-media-sha256" => "0b087324795ab8dc238ffffa380f3da0d316536cbb6b9bcb35184b381e84153c",
        "x-media-public" => "true",
        "x-media-created-at" | "x-media-updated-at" => "2026-11-23T19:13:16.894472Z",
        _ => return None,
    };
    Some(text.into())
}

fn complete_parameter(parameter: &mut Json, schemas: &Json) {
    let name = parameter["name"].as_str().unwrap_or_default().to_owned();
    let said = parameter["description"].as_str().unwrap_or_default();
    if said.ends_with(ASKS_FOR_NULL) {
        parameter["allowEmptyValue"] = json!(true);
    }
    parameter["example"] =
        named_example(&name).unwrap_or_else(|| example(&parameter["schema"], schemas));
}

fn complete_content(body: &mut Json, schemas: &Json) {
    for (_, media) in body.get_mut("content").into_iter().flat_map(members) {
        media["example"] = example(&media["schema"], schemas);
    }
}

/// An example of a schema, from its own or from those of its parts.
fn example(schema: &Json, schemas: &Json) -> Json {
    if let Some(reference) = schema["$ref"].as_str() {
        let name = reference.rsplit('/').next().unwrap_or_default();
        return example(&schemas[name], schemas);
    }
    if let Some(all) = schema["allOf"].as_array() {
        return all
            .first()
            .map_or(Json::Null, |first| example(first, schemas));
    }
    for known in ["example", "default"] {
        if !schema[known].is_null() {
            return schema[known].clone();
        }
    }
    if let Some(first) = schema["enum"].as_array().and_then(|values| values.first()) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties
                .map(|(name, schema)| (name.clone(), example(schema, schemas)))
                .collect::<serde_json::Map<_, _>>()
                .into()
        }
        Some("array") => json!([example(&schema["items"], schemas)]),
        Some("integer" | "number") => json!(1),
        Some("boolean") => json!(true),
        _ if schema["format"] == "uuid" => json!("01a209d3-ac64-703f-91dc-9affcb76ba68"),
        _ => json!("text"),
    }
}

fn members(object: &mut Json) -> impl Iterator<Item = (&String, &mut Json)> {
    object.as_object_mut().into_iter().flatten()
}

fn describe(operation: &mut MetaOperation) {
    operation.params.extend(match operation.operation_id {
        Some("listJobs") => list_parameters::<JobResource>(),
        Some("listMedias") => list_parameters::<MediaResource>(),
        Some("showJob") => view_parameters::<JobResource>(),
        Some("showMedia" | "showMediaByKey") => view_parameters::<MediaResource>(),
        _ => Vec::new(),
    });
    let id = operation.operation_id.unwrap_or_default();
    if id.ends_with("Media") || id.ends_with("MediaByKey") {
        operation.params.push(project_parameter());
    }
    if id.starts_with("downloadMedia") || id.starts_with("probeMedia") {
        operation.params.extend(link_parameters());
    }
}
