//! Imported files come back byte for byte, with the right type, size, name and digest.

use media_testkit::{
    nginx::Nginx,
    origin::FaultyOrigin,
    service::{Installation, unique},
};
use reqwest::{StatusCode, header};
use serde_json::json;

use crate::fixture::{MEDIA, file};

const FILES: [(&str, &str); 10] = [
    ("sunrise.jpg", "image/jpeg"),
    ("swirl.png", "image/png"),
    ("cloud.webp", "image/webp"),
    ("blink.gif", "image/gif"),
    ("circle.svg", "image/svg+xml"),
    ("film.mp4", "video/mp4"),
    ("tone.mp3", "audio/mpeg"),
    ("page.pdf", "application/pdf"),
    ("bundle.zip", "application/zip"),
    ("empty.txt", "text/plain"),
];

fn bytes_of(name: &str) -> Vec<u8> {
    if name == "empty.txt" {
        Vec::new()
    } else {
        file(name)
    }
}

#[tokio::test]
async fn every_kind_of_file_comes_back_whole_and_in_part() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    for (name, mime_type) in FILES {
        let bytes = bytes_of(name);
        nginx.add(name, &bytes);
        let job = service.import(&nginx.url(name), "files", Some(name)).await;
        assert_eq!(job["attributes"]["status"], "succeeded", "{name}: {job}");
        assert_eq!(job["attributes"]["bytes_done"], bytes.len(), "{name}");

        let media = service.media(&format!("files/{name}")).await;
        assert_eq!(media["mime_type"], mime_type, "{name}");
        assert_eq!(media["size"], bytes.len(), "{name}");
        assert_eq!(media["filename"], name);
        assert_eq!(media["source_url"], nginx.url(name), "{name}");
        assert_eq!(media["public"], false);

        let path = format!("/medias/files/files/{name}");
        let answer = service.get(&path).await;
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()[header::CONTENT_TYPE], mime_type);
        let etag = format!("\"{}\"", media["sha256"].as_str().unwrap());
        assert_eq!(answer.headers()[header::ETAG], etag.as_str());
        assert_eq!(answer.bytes().await.unwrap(), bytes, "{name}");

        if bytes.len() > 20 {
            let request = service.http.get(service.url(&path));
            let part = request
                .header(header::RANGE, "bytes=5-14")
                .send()
                .await
                .unwrap();
            assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
            assert_eq!(part.bytes().await.unwrap(), bytes[5..15], "{name}");
        }
    }
    assert_eq!(installation.stored_files().len(), FILES.len());
    assert!(service.stop().await.success());
}

#[tokio::test]
async fn the_origin_or_the_client_names_the_file() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    nginx.add("a b%c.bin", b"some bytes");

    service
        .import(&nginx.url("a%20b%25c.bin?x=y#z"), "by-url", None)
        .await;
    assert_eq!(service.media("by-url").await["filename"], "a b%c.bin");
    service
        .import(&nginx.url("named/a%20b%25c.bin"), "by-header", None)
        .await;
    assert_eq!(
        service.media("by-header").await["filename"],
        "naïve name.bin"
    );

    let arguments = json!({
        "url": nginx.url("named/a%20b%25c.bin"), "resource": "by-client", "filename": "mine.txt",
        "public": true, "size": 10,
        "sha256": "8E5BDC0A9D3C4F7E4F0B7F0B4F2F5C7D0D4A7F2E1B9C5A3D8E6F1A2B3C4D5E6F",
    });
    let wrong = service.create_job(&arguments, json!({})).await;
    let wrong = service
        .wait_for(wrong["id"].as_str().unwrap(), &["failed"])
        .await;
    assert_eq!(wrong["attributes"]["error"], "checksum_mismatch");

    let mut right = arguments;
    right["sha256"] = service.media("by-url").await["sha256"].clone();
    let job = service.create_job(&right, json!({})).await;
    service
        .wait_for(job["id"].as_str().unwrap(), &["succeeded"])
        .await;
    let media = service.media("by-client").await;
    assert_eq!(
        (&media["filename"], &media["public"]),
        (&json!("mine.txt"), &json!(true))
    );
    assert_eq!(
        media["mime_type"], "text/plain",
        "nginx says nothing, the name does"
    );
}

#[tokio::test]
async fn an_import_to_the_same_key_replaces_the_media() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    nginx.add("file", b"first");
    service
        .import(&nginx.url("file"), "same", Some("place"))
        .await;
    let first = service.media("same/place").await;
    nginx.add("file", b"second one");
    service
        .import(&nginx.url("file"), "same", Some("place"))
        .await;
    let second = service.media("same/place").await;
    assert_eq!(
        (&second["size"], &second["created_at"]),
        (&json!(10), &first["created_at"])
    );
    let bytes = service
        .get("/medias/files/same/place")
        .await
        .bytes()
        .await
        .unwrap();
    assert_eq!(bytes, "second one");
    installation.wait_for_stored_files(1).await;
}

#[tokio::test]
async fn custom_headers_are_sent_to_the_first_origin_only_and_never_shown() {
    let (origin, other) = (FaultyOrigin::start().await, FaultyOrigin::start().await);
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    for (url, resource, expected) in [
        (origin.url("echo?token=hush"), "direct", true),
        (
            origin.url(&format!("redirect?{}", origin.url("echo"))),
            "same",
            true,
        ),
        (
            origin.url(&format!("redirect?{}", other.url("echo"))),
            "other",
            false,
        ),
    ] {
        let arguments =
            json!({ "url": url, "resource": resource, "headers": { "X-Secret": "s3cr3t" } });
        let job = service.create_job(&arguments, json!({})).await;
        assert!(!job.to_string().contains("s3cr3t"), "{job}");
        assert!(!job.to_string().contains("hush"), "{job}");
        let job = service
            .wait_for(job["id"].as_str().unwrap(), &["succeeded", "failed"])
            .await;
        assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
        let seen = service
            .get(&format!("/medias/files/{resource}"))
            .await
            .text()
            .await
            .unwrap();
        assert_eq!(
            seen.to_lowercase().contains("x-secret: s3cr3t"),
            expected,
            "{seen}"
        );
        assert!(
            seen.to_lowercase().contains("accept-encoding: identity"),
            "{seen}"
        );
        assert!(!service.media(resource).await.to_string().contains("hush"));
    }
}

#[tokio::test]
async fn unicity_schedule_and_deletion_work_over_http() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    nginx.add("file", b"bytes");
    let arguments = json!({ "url": nginx.url("file"), "resource": "r" });
    let attributes = json!({ "unicity": unique("u"), "scheduled_at": "2100-01-01T00:00:00+02:00" });
    let first = service.create_job(&arguments, attributes.clone()).await;
    assert_eq!(first["attributes"]["status"], "scheduled");
    assert_eq!(
        first["attributes"]["scheduled_at"],
        "2099-12-31T22:00:00.000000Z"
    );

    let document = media_testkit::service::import(&arguments, attributes);
    let again = service.post("/jobs", &document).await;
    assert_eq!(again.status(), StatusCode::OK);
    let again: serde_json::Value = again.json().await.unwrap();
    assert_eq!(again["data"]["id"], first["id"]);
    assert_eq!(again["meta"]["deduplicated"], true);

    let path = format!("/jobs/{}", first["id"].as_str().unwrap());
    for expected in [StatusCode::NO_CONTENT, StatusCode::NOT_FOUND] {
        let deleted = service
            .http
            .delete(service.url(&path))
            .send()
            .await
            .unwrap();
        assert_eq!(deleted.status(), expected);
    }
    assert_eq!(service.get(&path).await.status(), StatusCode::NOT_FOUND);
    assert_eq!(
        service.get("/medias/info/r").await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn lists_are_paged() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    nginx.add("file", b"bytes");
    for key in ["a", "b", "c"] {
        service.import(&nginx.url("file"), "list", Some(key)).await;
    }
    for path in ["/jobs", "/medias"] {
        let mut next = Some(format!("{path}?page%5Bsize%5D=2&count=true"));
        let mut ids = Vec::new();
        while let Some(link) = next {
            let page: serde_json::Value = service.get(&link).await.json().await.unwrap();
            assert_eq!(page["meta"]["count"], 3, "{page}");
            let items = page["data"].as_array().unwrap();
            ids.extend(
                items
                    .iter()
                    .map(|item| item["id"].as_str().unwrap().to_owned()),
            );
            next = page["links"]["next"].as_str().map(str::to_owned);
        }
        assert_eq!(ids.len(), 3);
        assert!(ids.is_sorted());
        let second: serde_json::Value = service
            .get(&format!("{path}?page[number]=2&page[size]=2"))
            .await
            .json()
            .await
            .unwrap();
        assert_eq!(second["data"][0]["id"], ids[2].as_str());
        assert!(second["links"]["prev"].is_string() && second["meta"].is_null());
    }
}
