//! `PATCH /medias/info/…`: changes of records, moves, conditions and faults.

use media_testkit::service::{Installation, Service};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::fixture::{MEDIA, error_code, upload};

const INFO: &str = "/medias/info/r/k";

async fn record(service: &Service, path: &str) -> (Value, String) {
    let answer = service.get(path).await;
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    (answer.json::<Value>().await.unwrap()["data"].clone(), tag)
}

async fn patch(
    service: &Service,
    path: &str,
    id: &Value,
    attributes: &Value,
    condition: Option<(&str, &str)>,
) -> Response {
    let document =
        json!({ "data": { "type": "media:medias", "id": id, "attributes": attributes } });
    let mut request = service.http.patch(service.url(path)).json(&document);
    if let Some((name, value)) = condition {
        request = request.header(name, value);
    }
    request.send().await.unwrap()
}

#[tokio::test]
async fn conditions_accept_the_tag_of_a_record() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    upload(&service, "r/k", "a.txt", b"bytes").await;
    let (media, tag) = record(&service, INFO).await;
    let get = async |name: &str, value: &str| {
        let request = service.http.get(service.url(INFO)).header(name, value);
        request.send().await.unwrap()
    };
    let unchanged = get("if-none-match", &tag).await;
    assert_eq!(unchanged.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(unchanged.headers()["etag"], &*tag);
    assert_eq!(get("if-match", &tag).await.status(), StatusCode::OK);
    assert_eq!(
        get("if-match", "\"other\"").await.status(),
        StatusCode::PRECONDITION_FAILED
    );
    let renamed = json!({ "filename": "b.txt" });
    let answer = patch(&service, INFO, &media["id"], &renamed, None).await;
    let new_tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    assert_eq!(get("if-none-match", &tag).await.status(), StatusCode::OK);
    let delete = async |tag: &str| {
        let url = service.url("/medias/files/r/k");
        let request = service.http.delete(url).header("if-match", tag);
        request.send().await.unwrap().status()
    };
    assert_eq!(delete(&tag).await, StatusCode::PRECONDITION_FAILED);
    assert_eq!(delete(&new_tag).await, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_record_changes_and_its_bytes_stay() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    upload(&service, "r/k", "a.txt", b"bytes").await;
    let (before, first_tag) = record(&service, INFO).await;
    let meta = json!({ "color": "red", "sizes": [1, 2.5], "nested": { "ok": true } });
    let attributes = json!({
        "filename": "b.txt", "public": true, "meta": meta, "expires_at": "2100-01-01T00:00:00Z",
    });
    let answer = patch(&service, INFO, &before["id"], &attributes, None).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let changed: Value = answer.json().await.unwrap();
    let changed = &changed["data"];
    let (after, same_tag) = record(&service, INFO).await;
    assert_eq!((&after, &same_tag), (changed, &tag));
    assert_ne!(tag, first_tag);
    for (name, value) in attributes.as_object().unwrap() {
        let shown = &after["attributes"][name];
        match name.as_str() {
            "expires_at" => assert_eq!(shown, "2100-01-01T00:00:00.000000Z"),
            _ => assert_eq!(shown, value, "{name}"),
        }
    }
    for name in ["created_at", "sha256", "size", "resource", "key"] {
        assert_eq!(
            after["attributes"][name], before["attributes"][name],
            "{name}"
        );
    }
    let download = service.get("/medias/files/r/k").await;
    let disposition = download.headers()["content-disposition"].to_str().unwrap();
    assert!(disposition.contains("b.txt"), "{disposition}");
    assert_eq!(download.text().await.unwrap(), "bytes");
    // A part of the attributes leaves the others; null removes.
    let removed = json!({ "meta": null, "expires_at": null });
    let answer = patch(&service, INFO, &before["id"], &removed, None).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let (last, _) = record(&service, INFO).await;
    assert_eq!(last["attributes"]["meta"], Value::Null);
    assert_eq!(last["attributes"]["expires_at"], Value::Null);
    assert_eq!(last["attributes"]["public"], true);
}

#[tokio::test]
async fn a_change_obeys_its_conditions() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    upload(&service, "r/k", "a.txt", b"bytes").await;
    let (media, tag) = record(&service, INFO).await;
    let download = service.get("/medias/files/r/k").await;
    let bytes_tag = download.headers()["etag"].to_str().unwrap().to_owned();
    let named = |name: &str| json!({ "filename": name });
    for (name, value) in [
        ("if-match", "\"other\""),
        ("if-match", "no tag"),
        ("if-none-match", "*"),
        ("if-none-match", tag.as_str()),
        ("if-none-match", bytes_tag.as_str()),
    ] {
        let condition = Some((name, value));
        let refused = patch(&service, INFO, &media["id"], &named("b.txt"), condition).await;
        assert_eq!(
            refused.status(),
            StatusCode::PRECONDITION_FAILED,
            "{name}: {value}"
        );
        assert_eq!(error_code(refused).await, "precondition_failed");
    }
    let condition = Some(("if-match", tag.as_str()));
    let changed = patch(&service, INFO, &media["id"], &named("c.txt"), condition).await;
    assert_eq!(changed.status(), StatusCode::OK);
    // The record has changed, and its bytes have not.
    let again = patch(&service, INFO, &media["id"], &named("d.txt"), condition).await;
    assert_eq!(again.status(), StatusCode::PRECONDITION_FAILED);
    let condition = Some(("if-match", bytes_tag.as_str()));
    let by_bytes = patch(&service, INFO, &media["id"], &named("e.txt"), condition).await;
    assert_eq!(by_bytes.status(), StatusCode::OK);
}

#[tokio::test]
async fn a_media_moves_without_a_copy() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    upload(&service, "r/k", "a.txt", b"moved").await;
    upload(&service, "taken", "b.txt", b"other").await;
    let (media, _) = record(&service, INFO).await;
    let files = installation.stored_files();
    let taken = json!({ "resource": "taken", "key": null });
    let refused = patch(&service, INFO, &media["id"], &taken, None).await;
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    assert_eq!(error_code(refused).await, "conflict");
    let place = json!({ "resource": "new", "key": "place" });
    let answer = patch(&service, INFO, &media["id"], &place, None).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(service.get(INFO).await.status(), StatusCode::NOT_FOUND);
    let (moved, _) = record(&service, "/medias/info/new/place").await;
    assert_eq!(moved["id"], media["id"]);
    assert_eq!(
        moved["attributes"]["created_at"],
        media["attributes"]["created_at"]
    );
    let bytes = service.get("/medias/files/new/place").await;
    assert_eq!(bytes.text().await.unwrap(), "moved");
    assert_eq!(installation.stored_files(), files);
}

#[tokio::test]
async fn faults_of_a_change_are_named() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    upload(&service, "r/k", "a.txt", b"bytes").await;
    let (media, _) = record(&service, INFO).await;
    let deep = (0..8).fold(json!(1), |inner, _| json!({ "a": inner }));
    let deeper = json!({ "a": deep });
    for (attributes, status, pointer) in [
        (
            json!({ "filename": "a/b" }),
            422,
            "/data/attributes/filename",
        ),
        (json!({ "public": "yes" }), 422, "/data/attributes/public"),
        (json!({ "meta": [] }), 422, "/data/attributes/meta"),
        (json!({ "meta": deeper }), 422, "/data/attributes/meta"),
        (
            json!({ "meta": { "a": "x".repeat(16 << 10) } }),
            422,
            "/data/attributes/meta",
        ),
        (
            json!({ "meta": { "a": "\0" } }),
            422,
            "/data/attributes/meta",
        ),
        (
            json!({ "expires_at": "2020-01-01T00:00:00Z" }),
            422,
            "/data/attributes/expires_at",
        ),
        (
            json!({ "expires_at": "tomorrow" }),
            422,
            "/data/attributes/expires_at",
        ),
        (
            json!({ "resource": ".." }),
            422,
            "/data/attributes/resource",
        ),
        (json!({ "key": "" }), 422, "/data/attributes/key"),
        (json!({ "size": 5 }), 422, "/data/attributes/size"),
    ] {
        let answer = patch(&service, INFO, &media["id"], &attributes, None).await;
        let found = answer.status().as_u16();
        let document: Value = answer.json().await.unwrap();
        assert_eq!(found, status, "{attributes}: {document}");
        assert_eq!(
            document["errors"][0]["source"]["pointer"], pointer,
            "{document}"
        );
    }
    assert!(
        patch(&service, INFO, &media["id"], &json!({ "meta": deep }), None)
            .await
            .status()
            .is_success()
    );
    let other = json!("01a209d3-ac64-703f-91dc-9affcb76ba68");
    let foreign = patch(&service, INFO, &other, &json!({}), None).await;
    assert_eq!(foreign.status(), StatusCode::CONFLICT);
    let nowhere = patch(&service, "/medias/info/r/none", &other, &json!({}), None).await;
    assert_eq!(nowhere.status(), StatusCode::NOT_FOUND);
}
