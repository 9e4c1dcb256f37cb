//! Keys with several segments, and slashes at the end of paths.

use media_testkit::service::Installation;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use crate::fixture::{MEDIA, ask_raw, send, upload};

#[tokio::test]
async fn keys_may_have_several_segments() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    upload(&service, "albums/2026/june/1.jpg", "1.jpg", b"a picture").await;
    let media = service.media("albums/2026/june/1.jpg").await;
    assert_eq!(media["resource"], "albums");
    assert_eq!(media["key"], "2026/june/1.jpg");
    for path in [
        "2026%2Fjune%2F1.jpg",
        "2026/june%2F1.jpg",
        "2026%2fjune/1.jpg",
        "2026/june/1.jpg?v=3",
    ] {
        let answer = service.get(&format!("/medias/files/albums/{path}")).await;
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
    }
    let answer = service
        .get("/medias/files/albums?key=2026/june/1.jpg&utm_source=a")
        .await;
    assert_eq!(answer.status(), StatusCode::OK);
    let answer = service
        .get("/medias?filter[key]=2026/june/1.jpg&count=true")
        .await;
    let list: Value = answer.json().await.unwrap();
    assert_eq!(list["meta"]["count"], 1);
    let links = &list["data"][0]["links"];
    assert_eq!(links["download"], "/medias/files/albums/2026/june/1.jpg");
    assert_eq!(links["self"], "/medias/info/albums/2026/june/1.jpg");
    // Clients remove `.` and `..` from URLs.
    for key in [
        "/a", "a/", "a//b", "a/%2E/b", "%2E%2E/a", "a/./b", "../a", "a/%20/b",
    ] {
        let path = format!("/medias/files/albums/{key}");
        for (method, status) in [(Method::PUT, "422"), (Method::GET, "404")] {
            let answer = ask_raw(&service, &method, &path, "Content-Length: 0\r\n").await;
            let expected = format!("HTTP/1.1 {status}");
            assert!(answer.starts_with(&expected), "{method} {key}: {answer}");
        }
    }
    let document = media_testkit::service::import(
        &json!({ "url": "http://127.0.0.2/", "resource": "albums", "key": "a/../b" }),
        json!({}),
    );
    assert_eq!(
        service.post("/jobs", &document).await.status().as_u16(),
        422
    );
    let deleted = send(
        &service,
        Method::DELETE,
        "/medias/files/albums/2026/june/1.jpg",
        &[],
    )
    .await;
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    // A slash at the end of other paths is ignored.
    for path in [
        "/jobs/",
        "/medias/",
        "/livez/",
        "/docs/",
        "/openapi.json/",
        "/jobs/?count=true",
    ] {
        assert_eq!(service.get(path).await.status(), StatusCode::OK, "{path}");
    }
}
