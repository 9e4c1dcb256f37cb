//! Media types: detection, `accept_types`, and metadata.

use media_testkit::{nginx::Nginx, service::Installation};
use serde_json::{Value, json};

use crate::fixture::MEDIA;

/// The start of a PNG picture of 640 by 480 pixels, up to its header chunk.
const PNG: &[u8] =
    b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0\xb2\xc2\x91\xcb";

#[tokio::test]
async fn only_accepted_types_are_stored() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    // The type follows from the bytes, or from the name if the bytes say nothing.
    nginx.add("picture.txt", PNG);
    nginx.add("page.png", b"<!DOCTYPE html><title>Sign in</title>");
    let mut large = PNG.to_vec();
    large.resize(3 << 20, 0);
    nginx.add("large.png", &large);
    for (file, accepted, error) in [
        ("picture.txt", json!(["image/*"]), None),
        ("picture.txt", json!(["video/*", " IMAGE/PNG "]), None),
        ("picture.txt", json!(["*/*"]), None),
        (
            "picture.txt",
            json!(["text/plain"]),
            Some("type_not_allowed"),
        ),
        ("page.png", json!(["image/*"]), Some("type_not_allowed")),
        ("large.png", json!(["image/jpeg"]), Some("type_not_allowed")),
    ] {
        let arguments =
            json!({ "url": nginx.url(file), "resource": "r", "accept_types": accepted });
        let job = service.create_job(&arguments, json!({})).await;
        let job = service
            .wait_for(job["id"].as_str().unwrap(), &["succeeded", "failed"])
            .await;
        assert_eq!(job["attributes"]["error"], json!(error), "{file}: {job}");
    }
    let media = service.media("r").await;
    assert_eq!(media["mime_type"], "image/png");
    assert_eq!(media["metadata"], json!({ "width": 640, "height": 480 }));
    installation.wait_for_stored_files(1).await;
}

#[tokio::test]
async fn invalid_accept_types_are_refused() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let many: Vec<&str> = vec!["image/png"; 33];
    for wrong in [
        json!([]),
        json!(["image"]),
        json!(["image/"]),
        json!(["*/png"]),
        json!(["image/png; q=1"]),
        json!([""]),
        json!(["é/é"]),
        json!([7]),
        json!("image/png"),
        json!(many),
    ] {
        let arguments =
            json!({ "url": "http://origin.test/", "resource": "r", "accept_types": wrong });
        let document = media_testkit::service::import(&arguments, json!({}));
        let answer = service.post("/jobs", &document).await;
        assert!(answer.status().is_client_error(), "{wrong}");
        let document: Value = answer.json().await.unwrap();
        let pointer = document["errors"][0]["source"]["pointer"].as_str().unwrap();
        assert!(pointer.contains("accept_types"), "{wrong}: {document}");
    }
}
