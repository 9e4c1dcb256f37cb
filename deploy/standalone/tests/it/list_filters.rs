//! The operators of filters on lists.

use media_testkit::{
    nginx::Nginx,
    service::{Installation, Service},
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::fixture::MEDIA;

async fn list(service: &Service, path: &str, query: &[(&str, &str)]) -> (StatusCode, Value) {
    let request = service.http.get(service.url(path)).query(query);
    let answer = request.send().await.unwrap();
    (answer.status(), answer.json().await.unwrap())
}

/// The keys of the listed media, in order.
async fn keys(service: &Service, query: &[(&str, &str)]) -> String {
    let (status, document) = list(service, "/medias", query).await;
    assert_eq!(status, StatusCode::OK, "{query:?}: {document}");
    let key = |media: &Value| {
        media["attributes"]["key"]
            .as_str()
            .unwrap_or("-")
            .to_owned()
    };
    let keys: Vec<String> = document["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(key)
        .collect();
    keys.join(" ")
}

#[tokio::test]
async fn each_operator_selects_its_media() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    for (name, key, meta) in [
        (
            "a_b.txt",
            Some("a"),
            json!({ "color": "red", "n": 5, "on": true }),
        ),
        (
            "aXb.txt",
            Some("b"),
            json!({ "color": "blue", "n": 1.5, "on": false }),
        ),
        ("É.txt", Some("é"), Value::Null),
        ("100%.bin", None, json!({ "color": "red" })),
    ] {
        nginx.add("file", name.as_bytes());
        let expires_at = key.is_none().then_some("2100-01-01T00:00:00Z");
        let arguments = json!({
            "url": nginx.url("file"), "resource": "list", "key": key, "filename": name, "meta": meta,
            "expires_at": expires_at,
        });
        let job = service.create_job(&arguments, json!({})).await;
        let job = service
            .wait_for(job["id"].as_str().unwrap(), &["succeeded", "failed"])
            .await;
        assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    }
    let (_, all) = list(&service, "/medias", &[]).await;
    let sha256 = all["data"][1]["attributes"]["sha256"].as_str().unwrap();
    for (query, expected) in [
        (&[("filter[key__neq]", "a")][..], "b é -"),
        (&[("filter[key__neq]", "")], "a b é"),
        (&[("filter[key__exists]", "true")], "a b é"),
        (&[("filter[key__exists]", "false")], "-"),
        (&[("filter[size__exists]", "false")], ""),
        (&[("filter[meta__exists]", "false")], "é"),
        (&[("filter[key][]", "a"), ("filter[key][]", "é")], "a é"),
        (&[("filter[filename__in]", "a_b.txt,100%.bin")], "a -"),
        (&[("filter[filename__prefix]", "a")], "a b"),
        (&[("filter[filename__prefix]", "a_")], "a"),
        (&[("filter[filename__prefix]", "é")], ""),
        (&[("filter[filename__prefix]", "É")], "é"),
        (&[("filter[filename__prefix]", "")], "a b é -"),
        (
            &[("filter[resource]", "list"), ("filter[key__prefix]", "é")],
            "é",
        ),
        (
            &[("filter[mime_type__prefix]", "text/"), ("filter[key]", "b")],
            "b",
        ),
        (&[("filter[filename__match]", "XB")], "b"),
        (&[("filter[filename__match]", "_")], "a"),
        (&[("filter[filename__match]", "%")], "-"),
        (&[("filter[filename__match]", "É")], "é"),
        (&[("filter[source_url__match]", "/FILE")], "a b é -"),
        (&[("filter[sha256]", sha256)], "b"),
        (&[("filter[expires_at__lte]", "2100-01-01T00:00:00Z")], "-"),
        (&[("filter[expires_at__exists]", "false")], "a b é"),
        (&[("filter[meta.color]", "red")], "a -"),
        (
            &[("filter[meta.color]", "red"), ("filter[meta.n]", "5")],
            "a",
        ),
        (&[("filter[meta.n]", "1.5")], "b"),
        (&[("filter[meta.on]", "true")], "a"),
        (&[("filter[meta.on]", "false")], "b"),
        (&[("filter[meta.none]", "x")], ""),
    ] {
        assert_eq!(keys(&service, query).await, expected, "{query:?}");
    }
    let (_, counted) = list(
        &service,
        "/medias",
        &[("filter[filename__prefix]", "a"), ("count", "true")],
    )
    .await;
    assert_eq!(counted["meta"]["count"], 2);
}

#[tokio::test]
async fn faulty_operators_are_named() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    for (path, parameter, value, expected) in [
        ("/medias", "filter[key__exists]", "maybe", 422),
        ("/medias", "filter[size__prefix]", "1", 400),
        ("/medias", "filter[mime_type__match]", "a", 400),
        ("/medias", "filter[meta.a b]", "1", 422),
        ("/medias", "filter[meta.]", "1", 422),
        ("/medias", "filter[size][]", "x", 422),
        ("/jobs", "filter[unicity__match]", "x", 400),
        ("/jobs", "filter[status__neq]", "none", 422),
    ] {
        let (status, document) = list(&service, path, &[(parameter, value)]).await;
        assert_eq!(status.as_u16(), expected, "{parameter}: {document}");
    }
    let both = [("filter[key]", "a"), ("filter[key][]", "b")];
    assert_eq!(
        list(&service, "/medias", &both).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    // Each member costs a comparison for every row.
    let members: Vec<String> = (0..9).map(|n| format!("filter[meta.m{n}]")).collect();
    let members: Vec<(&str, &str)> = members.iter().map(|name| (&**name, "1")).collect();
    assert_eq!(keys(&service, &members[..8]).await, "");
    assert_eq!(
        list(&service, "/medias", &members).await.0,
        StatusCode::UNPROCESSABLE_ENTITY
    );
    for (path, parameter, value) in [
        ("/jobs", "filter[unicity__prefix]", "x"),
        ("/jobs", "filter[job_class__prefix]", "media:"),
        ("/jobs", "filter[status__neq]", "failed"),
        ("/jobs", "filter[error__exists]", "true"),
        ("/jobs", "filter[finished_at__gte]", "2026-01-01T00:00:00Z"),
    ] {
        let (status, document) = list(&service, path, &[(parameter, value)]).await;
        assert_eq!(status, StatusCode::OK, "{parameter}: {document}");
    }
}
