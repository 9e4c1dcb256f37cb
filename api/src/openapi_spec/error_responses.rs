//! The error responses of operations in the OpenAPI document, one for each status.

use serde_json::{Value as Json, json};

use crate::{
    jsonapi::{ErrorCode, MEDIA_TYPE},
    routes::{Answer, CallerRule, LimitClass, Route},
};

/// Adds the error responses of an operation. `default` stays, for statuses that any request can get.
pub(super) fn add_error_responses(operation: &mut Json, route: &Route, path: &str) {
    let statuses = error_statuses(operation, route, path);
    let Some(responses) = operation["responses"].as_object_mut() else {
        return;
    };
    for status in statuses {
        responses
            .entry(status.to_string())
            .or_insert_with(|| error_response(status));
    }
}

/// The statuses of errors that a client has to expect, by what the operation takes and answers.
fn error_statuses(operation: &Json, route: &Route, path: &str) -> Vec<u16> {
    if route.limit == LimitClass::Probe {
        return match route.operation {
            "readyz" => vec![503],
            _ => Vec::new(),
        };
    }
    let has_body = operation["requestBody"].is_object();
    let is_media = path.starts_with("/medias/files/");
    let reads_media = is_media && route.answer == Answer::Other && route.operation != "deleteMedia";
    let changes_job = matches!(route.operation, "createJob" | "changeJob" | "signalJob");
    let groups: [(bool, &[u16]); 11] = [
        (true, &[400, 429, 500, 503]),
        (route.caller != CallerRule::Public, &[401, 403]),
        (
            path.contains('{') || route.operation == "createLink",
            &[404],
        ),
        (route.answer == Answer::Document, &[406]),
        (has_body, &[408, 413, 415, 422]),
        (route.limit == LimitClass::List, &[422]),
        (path.starts_with("/medias/"), &[409]),
        (changes_job || route.operation == "createLink", &[409]),
        (is_media, &[412]),
        (reads_media, &[416, 422]),
        (has_body, &[507]),
    ];
    let listed = groups.iter().filter(|(applies, _)| *applies);
    let mut statuses: Vec<u16> = listed
        .flat_map(|(_, statuses)| *statuses)
        .copied()
        .collect();
    statuses.sort_unstable();
    statuses.dedup();
    statuses
}

/// The response with a status, whose example has a code of that status.
fn error_response(status: u16) -> Json {
    let mut codes = ErrorCode::ALL.iter();
    let code = codes.find(|code| code.status().as_u16() == status);
    let title = code.map_or("Error", |code| code.title());
    json!({
        "description": format!("{title}, as a JSON:API error document"),
        "content": { MEDIA_TYPE: {
            "schema": { "$ref": "#/components/schemas/ErrorDocument" },
            "example": { "errors": [{
                "status": status.to_string(),
                "code": code.map_or("internal", |code| code.as_str()),
                "title": title,
                "detail": "the cause and the remedy",
            }] },
        } },
    })
}

/// The codes of errors, for the schema of an error.
pub(super) fn error_codes() -> Json {
    ErrorCode::ALL.iter().map(|code| code.as_str()).collect()
}
