//! Completes the framework's OpenAPI document from the route table and the tables of resources, which its macros do not
//! know.

use std::collections::HashMap;

use poem::{endpoint::BoxEndpoint, http::Method};
use poem_openapi::{
    OpenApi,
    registry::{MetaApi, MetaOperation, MetaPath, Registry},
};
use serde_json::{Value as Json, json};

use crate::{
    caller::SECURITY_SCHEME,
    routes::{CallerRule, route_of},
};

mod body_limits;
mod error_responses;
mod schemas;

use body_limits::body_limits;
use error_responses::{add_error_responses, error_codes};
use schemas::rewrite_references;

/// Adds the query parameters and headers of routes to operations, and merges the operations of a path.
pub(crate) struct Documented<T>(pub(crate) T);

impl<T: OpenApi> OpenApi for Documented<T> {
    fn meta() -> Vec<MetaApi> {
        let mut paths: Vec<MetaPath> = Vec::new();
        for mut path in T::meta().into_iter().flat_map(|api| api.paths) {
            path.operations.iter_mut().for_each(add_parameters);
            match paths.iter_mut().find(|known| known.path == path.path) {
                Some(known) => known.operations.append(&mut path.operations),
                None => paths.push(path),
            }
        }
        vec![MetaApi { paths }]
    }

    fn register(registry: &mut Registry) {
        T::register(registry);
    }

    fn add_routes(self, routes: &mut HashMap<String, HashMap<Method, BoxEndpoint<'static>>>) {
        self.0.add_routes(routes);
    }
}

fn add_parameters(operation: &mut MetaOperation) {
    let route = route_of(operation.operation_id.unwrap_or_default());
    let parameters = (route.parameters)().into_iter();
    operation
        .params
        .extend(parameters.map(|parameter| parameter.meta));
    operation.params.extend((route.headers)());
}

/// Creates the page of `/docs`: replaces the framework's document by the completed one.
pub(crate) fn page(html: &str, spec: &str, document: &str) -> String {
    html.replace(spec, document)
}

/// Completes the framework's document. `guarded` states whether callers are authenticated. A document that is not JSON,
/// which would be a defect, is served unchanged.
pub(crate) fn complete(document: &str, guarded: bool) -> String {
    completed(document, guarded).unwrap_or_else(|error| {
        tracing::error!(%error, "the OpenAPI document could not be completed");
        document.to_owned()
    })
}

/// Adds the facts that the framework's types cannot express: parameters that may be empty, closed objects, limits of
/// properties, examples, and the security of each operation.
fn completed(document: &str, guarded: bool) -> Result<String, serde_json::Error> {
    let mut document: Json = serde_json::from_str(document)?;
    for name in CLOSED_SCHEMAS {
        document["components"]["schemas"][name]["additionalProperties"] = json!(false);
    }
    for limits in body_limits() {
        let property =
            &mut document["components"]["schemas"][limits.schema]["properties"][limits.name];
        for (keyword, value) in limits.keywords.as_object().into_iter().flatten() {
            property[keyword.as_str()] = value.clone();
        }
    }
    document["components"]["schemas"]["Error"]["properties"]["code"]["enum"] = error_codes();
    rewrite_references(&mut document);
    for (_, schema) in members(&mut document["components"]["schemas"]) {
        schema.get_mut("example").into_iter().for_each(remove_nulls);
    }
    let schemas = document["components"]["schemas"].clone();
    if let Some(components) = document["components"].as_object_mut()
        && !guarded
    {
        components.remove("securitySchemes");
        // States that requests need no authentication, which checkers of documents ask for.
        document["security"] = json!([]);
    }
    let operations = members(&mut document["paths"])
        .flat_map(|(name, path)| members(path).map(move |(_, operation)| (name, operation)));
    for (path, operation) in operations {
        let route = route_of(operation["operationId"].as_str().unwrap_or_default());
        set_security(operation, route.caller, guarded);
        add_error_responses(operation, route, path);
        let query = (route.parameters)();
        let allowing_empty = query.iter().filter(|parameter| parameter.allows_empty);
        let allowing_empty: Vec<&str> = allowing_empty
            .map(|parameter| parameter.meta.name.as_str())
            .collect();
        let parameters = operation.get_mut("parameters").and_then(Json::as_array_mut);
        for parameter in parameters.into_iter().flatten() {
            complete_parameter(parameter, &allowing_empty, &schemas);
        }
        if let Some(body) = operation.get_mut("requestBody") {
            complete_content(body, &schemas);
        }
        let location = location_example(operation["operationId"].as_str().unwrap_or_default());
        let responses = operation.get_mut("responses").into_iter().flat_map(members);
        for (_, response) in responses {
            complete_content(response, &schemas);
            let headers = response.get_mut("headers").into_iter().flat_map(members);
            for (name, header) in headers {
                let known = match name.as_str() {
                    "Location" => Some(location.into()),
                    name => named_example(name),
                };
                header["example"] = known.unwrap_or_else(|| example(&header["schema"], &schemas));
            }
        }
    }
    serde_json::to_string(&document)
}

/// Sets the security requirement of an operation (OpenAPI 3.0 §4.7.9, §4.7.30).
fn set_security(operation: &mut Json, caller: CallerRule, guarded: bool) {
    if let Some(operation) = operation.as_object_mut()
        && !guarded
    {
        operation.remove("security");
        return;
    }
    operation["security"] = match caller {
        CallerRule::Public => json!([]),
        CallerRule::Optional => json!([{}, { SECURITY_SCHEME: [] }]),
        CallerRule::Required => json!([{ SECURITY_SCHEME: [] }]),
    };
}

/// The objects that accept no unknown members. Documents and resources accept them (JSON:API 1.1 §7).
const CLOSED_SCHEMAS: [&str; 6] = [
    "JobChangeAttributes",
    "MediaChangeAttributes",
    "NewImportArguments",
    "NewJobAttributes",
    "NewLinkAttributes",
    "SignalAttributes",
];

/// The example of the header `Location` of an operation.
fn location_example(operation: &str) -> &'static str {
    match operation {
        "createJob" => "/jobs/01a209d3-ac64-703f-91dc-9affcb76ba68",
        "downloadMedia" | "downloadMediaByKey" | "probeMedia" | "probeMediaByKey" => {
            "https://storage.example/bucket/object?signature"
        }
        "uploadMedia" | "putMedia" => "/medias/files/avatars",
        _ => "/medias/files/avatars/42",
    }
}

/// Examples of parameters and headers whose schema has none.
fn named_example(name: &str) -> Option<Json> {
    let text = match name.to_ascii_lowercase().as_str() {
        "resource_id" | "x-media-id" => "01a209d3-ac64-703f-91dc-9affcb76ba68",
        "resource" | "x-media-resource" => "avatars",
        "key" | "x-media-key" => "42",
        "disposition" => "inline",
        "last-event-id" => "1795463456239231",
        "etag" => "\"0b087324795ab8dc238ffffa380f3da0d316536cbb6b9bcb35184b381e84153c\"",
        "last-modified" => "Mon, 23 Nov 2026 19:13:16 GMT",
        "cache-control" => "private, no-cache",
        "repr-digest" => "sha-256=:CwhzJHlauNwjj//6OA89oNMWU2y7a5vLNRhLOB6EFTw=:",
        "vary" => "Prefer, Authorization",
        "preference-applied" => "return=minimal",
        "x-media-filename" => "portrait.jpg",
        "x-media-size" => "20258",
        "x-media-type" => "image/jpeg",
        "x-media-sha256" => "0b087324795ab8dc238ffffa380f3da0d316536cbb6b9bcb35184b381e84153c",
        "x-media-public" => "true",
        "x-media-created-at" | "x-media-updated-at" | "x-media-expires-at" => {
            "2026-11-23T19:13:16.894472Z"
        }
        _ => return None,
    };
    Some(text.into())
}

fn complete_parameter(parameter: &mut Json, allowing_empty: &[&str], schemas: &Json) {
    let name = parameter["name"].as_str().unwrap_or_default().to_owned();
    if allowing_empty.contains(&name.as_str()) {
        parameter["allowEmptyValue"] = json!(true);
    }
    if parameter["required"] == json!(true) {
        parameter["example"] =
            named_example(&name).unwrap_or_else(|| example(&parameter["schema"], schemas));
        return;
    }
    // Pages for trying the API fill in the examples, also of parameters that exclude each other.
    remove_examples(&mut parameter["schema"]);
}

fn remove_examples(schema: &mut Json) {
    let Some(keywords) = schema.as_object_mut() else {
        return;
    };
    keywords.remove("example");
    if let Some(items) = keywords.get_mut("items") {
        remove_examples(items);
    }
}

/// Removes the members that are null, which stand for absent attributes in the framework's examples.
fn remove_nulls(example: &mut Json) {
    if let Some(members) = example.as_object_mut() {
        members.retain(|_, value| !value.is_null());
        members.values_mut().for_each(remove_nulls);
    }
}

fn complete_content(body: &mut Json, schemas: &Json) {
    for (_, media) in body.get_mut("content").into_iter().flat_map(members) {
        if media["example"].is_null() {
            media["example"] = example(&media["schema"], schemas);
        }
    }
}

/// Returns an example of a schema: its own, or one composed of the examples of its parts.
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
