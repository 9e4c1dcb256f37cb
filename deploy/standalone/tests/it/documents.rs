//! Content negotiation, the OpenAPI document against the user's reference, and the page on configuration.

use std::collections::BTreeMap;

use media_testkit::service::{FAR_FUTURE, Installation, import};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};

use crate::fixture::{MEDIA, upload_form};

#[tokio::test]
async fn content_negotiation_follows_json_api() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let json_api = "application/vnd.api+json";
    for (accept, status) in [
        (json_api, 200),
        ("*/*", 200),
        ("application/*", 200),
        ("application/json", 200),
        ("text/html, */*;q=0.1", 200),
        (
            "application/vnd.api+json; charset=utf-8, application/vnd.api+json",
            200,
        ),
        ("application/vnd.api+json; charset=utf-8", 406),
        ("text/html", 406),
        ("application/vnd.api+json;q=0", 406),
    ] {
        let request = service
            .http
            .get(service.url("/jobs"))
            .header(header::ACCEPT, accept);
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{accept}");
        assert_eq!(answer.headers()[header::VARY], "Accept", "{accept}");
        assert_eq!(answer.headers()[header::CONTENT_TYPE], json_api, "{accept}");
    }
    let document = import(
        &json!({ "url": "http://origin.test/", "resource": "r" }),
        json!({ "scheduled_at": FAR_FUTURE }),
    )
    .to_string();
    for (content_type, status) in [
        (json_api, 201),
        ("application/json; charset=utf-8", 201),
        (
            "application/vnd.api+json; profile=\"http://example.test/p\"",
            201,
        ),
        ("application/vnd.api+json; charset=utf-8", 415),
        (
            "application/vnd.api+json; ext=\"http://example.test/e\"",
            415,
        ),
        ("text/plain", 415),
    ] {
        let request = service
            .http
            .post(service.url("/jobs"))
            .header(header::CONTENT_TYPE, content_type);
        let answer = request.body(document.clone()).send().await.unwrap();
        assert_eq!(answer.status().as_u16(), status, "{content_type}");
    }
    let page = service
        .http
        .get(service.url("/docs"))
        .header(header::ACCEPT, "text/html");
    assert_eq!(page.send().await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn requests_from_other_sites_are_refused() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let rebound = service
        .http
        .get(service.url("/jobs"))
        .header(header::HOST, "evil.test:8080");
    assert_eq!(
        rebound.send().await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
    let form = upload_form("x", b"x");
    let forged = service
        .http
        .post(service.url("/medias/files/r"))
        .header(header::ORIGIN, "http://evil.test");
    assert_eq!(
        forged.multipart(form).send().await.unwrap().status(),
        StatusCode::FORBIDDEN
    );
    assert_eq!(
        service.get("/medias/info/r").await.status(),
        StatusCode::NOT_FOUND
    );
}

/// Method, path, and the optional query parameters.
const REFERENCE: [(&str, &str, &[&str]); 10] = [
    ("get", "/jobs/{resource_id}", &["included", "fields"]),
    ("delete", "/jobs/{resource_id}", &[]),
    (
        "get",
        "/jobs",
        &[
            "page[number]",
            "page[size]",
            "sort",
            "count",
            "filter[id]",
            "filter[job_class]",
            "filter[priority]",
            "filter[status]",
            "filter[progress]",
            "filter[retry_count]",
            "filter[error]",
            "filter[unicity]",
            "filter[scheduled_at]",
            "filter[created_at]",
            "filter[updated_at]",
            "filter[id__in]",
            "filter[job_class__in]",
            "filter[priority__gte]",
            "filter[priority__lte]",
            "filter[status__in]",
            "filter[retry_count__gte]",
            "filter[retry_count__lte]",
            "filter[scheduled_at__gte]",
            "filter[scheduled_at__lte]",
            "filter[created_at__gte]",
            "filter[created_at__lte]",
            "filter[updated_at__gte]",
            "filter[updated_at__lte]",
            "fields",
        ],
    ),
    (
        "get",
        "/medias",
        &[
            "page[number]",
            "page[size]",
            "sort",
            "count",
            "filter[id]",
            "filter[resource]",
            "filter[key]",
            "filter[filename]",
            "filter[size]",
            "filter[mime_type]",
            "filter[created_by]",
            "filter[created_role]",
            "filter[public]",
            "filter[created_at]",
            "filter[updated_at]",
            "filter[project_id]",
            "fields",
        ],
    ),
    ("get", "/medias/info/{resource}", &[]),
    ("get", "/medias/info/{resource}/{key}", &[]),
    ("get", "/medias/files/{resource}", &[]),
    ("get", "/medias/files/{resource}/{key}", &[]),
    ("post", "/medias/files/{resource}", &[]),
    ("post", "/medias/files/{resource}/{key}", &[]),
];

/// Method, path, and the status in the reference.
const STATUSES: [(&str, &str, &str); 8] = [
    ("get", "/jobs/{resource_id}", "200"),
    ("delete", "/jobs/{resource_id}", "204"),
    ("get", "/jobs", "200"),
    ("get", "/medias", "200"),
    ("get", "/medias/info/{resource}", "204"),
    ("get", "/medias/info/{resource}/{key}", "204"),
    ("get", "/medias/files/{resource}", "204"),
    ("post", "/medias/files/{resource}", "200"),
];

async fn document() -> Value {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    service.get("/openapi.json").await.json().await.unwrap()
}

#[tokio::test]
async fn the_document_contains_the_whole_reference() {
    let document = document().await;
    for (method, path, queries) in REFERENCE {
        let operation = &document["paths"][path][method];
        assert!(operation.is_object(), "{method} {path}");
        let parameters = operation["parameters"].as_array().unwrap();
        let find = |name: &str| {
            let found: Vec<_> = parameters.iter().filter(|p| p["name"] == name).collect();
            assert_eq!(found.len(), 1, "{method} {path}: {name}");
            found[0]
        };
        for segment in path.split('/').filter_map(|s| s.strip_prefix('{')) {
            let parameter = find(segment.trim_end_matches('}'));
            assert_eq!(
                (&parameter["in"], &parameter["required"]),
                (&json!("path"), &json!(true)),
                "{path}"
            );
        }
        for name in queries {
            let parameter = find(name);
            assert_eq!(
                (&parameter["in"], &parameter["required"]),
                (&json!("query"), &json!(false)),
                "{path} {name}"
            );
        }
    }
    for (method, path, status) in STATUSES {
        assert!(
            document["paths"][path][method]["responses"][status].is_object(),
            "{method} {path} {status}"
        );
    }
    let upload = &document["paths"]["/medias/files/{resource}"]["post"]["requestBody"]["content"]["multipart/form-data"]
        ["schema"];
    assert_eq!(upload["properties"]["media"]["format"], "binary");
    assert_eq!(upload["required"], json!(["media"]));
}

#[tokio::test]
async fn everything_in_the_document_is_described() {
    let document = document().await;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let what = format!("{method} {path}");
            let described = |value: &Value| value.as_str().is_some_and(|text| text.len() > 3);
            assert!(
                described(&operation["summary"]) && operation["operationId"].is_string(),
                "{what}"
            );
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(described(&parameter["description"]), "{what}: {parameter}");
                assert!(parameter["schema"].is_object(), "{what}: {parameter}");
                // Pages for trying the API fill in the examples, which must not select parameters.
                let has_example =
                    !parameter["example"].is_null() || !parameter["schema"]["example"].is_null();
                assert_eq!(
                    has_example,
                    parameter["required"] == true,
                    "{what}: {parameter}"
                );
            }
            for (status, response) in operation["responses"].as_object().unwrap() {
                assert!(described(&response["description"]), "{what} {status}");
                for (kind, content) in response["content"].as_object().into_iter().flatten() {
                    assert!(!content["example"].is_null(), "{what} {status} {kind}");
                }
                for (name, header) in response["headers"].as_object().into_iter().flatten() {
                    let whole = described(&header["description"]) && !header["example"].is_null();
                    assert!(whole, "{what} {status} {name}: {header}");
                }
            }
            if let Some(body) = operation.get("requestBody") {
                assert_eq!(body["required"], true, "{what}");
                for (kind, content) in body["content"].as_object().unwrap() {
                    assert!(!content["example"].is_null(), "{what} {kind}");
                }
            }
        }
    }
}

#[tokio::test]
async fn generators_of_clients_understand_the_document() {
    let document = document().await;
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let properties = schemas.values().flat_map(|schema| {
        let properties = schema["properties"].as_object().into_iter().flatten();
        properties.map(|(_, property)| property)
    });
    for property in properties {
        if let Some(all) = property["allOf"].as_array() {
            assert_eq!(all.len(), 1, "{property}");
            assert_eq!(all[0].as_object().unwrap().len(), 1, "{property}");
        }
        if property["nullable"] == true {
            assert!(property["type"].is_string(), "{property}");
        }
    }
    let codes = schemas["Error"]["properties"]["code"]["enum"]
        .as_array()
        .unwrap();
    assert!(codes.contains(&json!("not_found")) && codes.contains(&json!("expectation_failed")));
    let mut documented = std::collections::BTreeSet::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if let Some(body) = operation.get("requestBody") {
                assert_eq!(
                    body["content"].as_object().unwrap().len(),
                    1,
                    "{method} {path}"
                );
            }
            let statuses = operation["responses"].as_object().unwrap().keys();
            documented.extend(statuses.map(String::as_str));
        }
    }
    for status in [
        "400", "401", "403", "404", "406", "408", "409", "412", "413", "415", "416", "422", "429",
        "500", "503", "507",
    ] {
        assert!(documented.contains(status), "{status}");
    }
}

/// Compares the document with its snapshot. After an intended change, run the test with `UPDATE_SNAPSHOT=1`
/// and review the difference.
#[tokio::test]
async fn the_document_matches_its_snapshot() {
    let snapshot = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/openapi.json");
    let document = document().await;
    let text = format!("{document:#}\n");
    if std::env::var_os("UPDATE_SNAPSHOT").is_some() {
        std::fs::write(&snapshot, &text).unwrap();
    }
    let known = std::fs::read_to_string(&snapshot).unwrap_or_default();
    assert!(
        known == text,
        "the OpenAPI document differs from {}",
        snapshot.display()
    );
}

/// The settings that a program's `--help` lists, with their defaults.
fn settings(help: &str) -> BTreeMap<String, String> {
    let is_name = |c: char| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_';
    help.split("[env: ")
        .skip(1)
        .map(|setting| {
            let name: String = setting.chars().take_while(|c| is_name(*c)).collect();
            let default = setting
                .split_once("[default: ")
                .and_then(|(_, rest)| rest.split(']').next());
            let default = default
                .map(|text| text.trim_matches('"'))
                .unwrap_or_default();
            (name, default.to_owned())
        })
        .collect()
}

/// The settings in the tables of the page on configuration, with their defaults.
fn documented_settings() -> BTreeMap<String, String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/configuration.md");
    let page = std::fs::read_to_string(page).unwrap();
    page.lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split(" | ");
            let name = cells.next()?.trim_end_matches('`');
            let default = match cells.next()? {
                "none" => "",
                default => default.trim_matches('`'),
            };
            Some((name.to_owned(), default.to_owned()))
        })
        .collect()
}

#[tokio::test]
async fn the_page_on_configuration_has_every_setting_and_its_default() {
    let installation = Installation::new(MEDIA);
    let output = installation
        .command(&["serve", "--help"])
        .output()
        .await
        .unwrap();
    let settings = settings(&String::from_utf8(output.stdout).unwrap());
    assert!(settings.len() > 50, "{} settings", settings.len());
    assert_eq!(documented_settings(), settings);
}
