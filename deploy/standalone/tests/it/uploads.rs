//! Uploads: streamed, verified, and stored completely or not at all.

use std::time::Duration;

use media_testkit::{
    service::{Installation, Service},
    wait_until,
};
use reqwest::{Response, StatusCode, multipart::Form};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::fixture::{MEDIA, error_code, file, file_part};

async fn post_form(service: &Service, form: Form) -> Response {
    let request = service.http.post(service.url("/medias/files/up/load"));
    request.multipart(form).send().await.unwrap()
}

#[tokio::test]
async fn the_fields_of_a_form_set_the_attributes() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let png = file("swirl.png");
    let answer = post_form(
        &service,
        Form::new().part("media", file_part("a picture.png", &png)),
    )
    .await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    assert_eq!(answer.headers()["location"], "/medias/files/up/load");
    let tag = answer.headers()["etag"].to_str().unwrap().to_owned();
    let document: Value = answer.json().await.unwrap();
    let media = &document["data"]["attributes"];
    assert_eq!(media["filename"], "a picture.png");
    assert_eq!(media["mime_type"], "image/png");
    assert_eq!(media["public"], false);
    let digest = media["sha256"].as_str().unwrap().to_owned();
    assert_eq!(tag, format!("\"{digest}\""));

    let form = Form::new()
        .text("public", "true")
        .text("filename", "named.png")
        .text("sha256", digest)
        .text("size", png.len().to_string())
        .part("media", file_part("ignored.png", &png));
    let answer = post_form(&service, form).await;
    assert_eq!(answer.status(), StatusCode::OK);
    let media = service.media("up/load").await;
    assert_eq!(
        (media["filename"].as_str(), media["public"].as_bool()),
        (Some("named.png"), Some(true))
    );
    let back = service
        .get("/medias/files/up/load")
        .await
        .bytes()
        .await
        .unwrap();
    assert_eq!(back, png);

    let path = service.url("/medias/files/up/load");
    let deleted = service.http.delete(&path).send().await.unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        service.get("/medias/files/up/load").await.status(),
        StatusCode::NOT_FOUND
    );
    installation.wait_for_stored_files(0).await;
}

#[tokio::test]
async fn an_invalid_form_is_refused_and_leaves_nothing() {
    let installation = Installation::new(MEDIA).with("MEDIA_MAX_BYTES", "1KiB");
    let service = installation.serve().await;
    let media = || file_part("a.txt", b"some bytes");
    for (form, status, code) in [
        (Form::new(), 400, "incomplete_body"),
        (Form::new().text("public", "true"), 422, "invalid_value"),
        (
            Form::new().text("public", "yes").part("media", media()),
            422,
            "invalid_value",
        ),
        (
            Form::new().text("filename", "../x").part("media", media()),
            422,
            "invalid_value",
        ),
        (
            Form::new()
                .text("filename", "x".repeat(2000))
                .part("media", media()),
            422,
            "invalid_value",
        ),
        (
            Form::new().text("size", "many").part("media", media()),
            422,
            "invalid_value",
        ),
        (
            Form::new().text("size", "9").part("media", media()),
            422,
            "size_mismatch",
        ),
        (
            Form::new().text("size", "11").part("media", media()),
            422,
            "size_mismatch",
        ),
        (
            Form::new()
                .text("sha256", "0".repeat(64))
                .part("media", media()),
            422,
            "checksum_mismatch",
        ),
        (
            Form::new().text("sha256", "short").part("media", media()),
            422,
            "invalid_value",
        ),
        (
            Form::new().text("colour", "red").part("media", media()),
            422,
            "invalid_value",
        ),
        (
            Form::new().part("media", media()).text("public", "yes"),
            422,
            "invalid_value",
        ),
        (
            Form::new().part("media", media()).text("colour", "red"),
            422,
            "invalid_value",
        ),
        (
            Form::new().part("media", media()).text("size", "9"),
            422,
            "size_mismatch",
        ),
        (
            Form::new()
                .part("media", media())
                .text("sha256", "0".repeat(64)),
            422,
            "checksum_mismatch",
        ),
        (
            Form::new().part("name", media()).part("media", media()),
            422,
            "invalid_value",
        ),
        (
            Form::new().part("media", media()).part("media", media()),
            422,
            "invalid_value",
        ),
        (
            Form::new().part("media", file_part("big.bin", &[0; 1025])),
            413,
            "too_large",
        ),
    ] {
        let shown = format!("{form:?}");
        let answer = post_form(&service, form).await;
        assert_eq!(answer.status().as_u16(), status, "{shown}");
        assert_eq!(error_code(answer).await, code, "{shown}");
    }
    for (content_type, body, status) in [
        (Some("multipart/form-data"), "x", 400),
        (
            Some("multipart/form-data; boundary=b"),
            "no form at all",
            400,
        ),
        (
            Some("multipart/form-data; boundary=b"),
            "--b\r\nContent-Disposition: form-data; name=\"media\"\r\n\r\ncut",
            400,
        ),
        (Some("application/json"), "{}", 415),
        (None, "", 415),
    ] {
        let mut request = service
            .http
            .post(service.url("/medias/files/up/load"))
            .body(body);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        let answer = request.send().await.unwrap();
        let shown = format!("{content_type:?} {body}");
        assert_eq!(answer.status().as_u16(), status, "{shown}");
        assert_ne!(error_code(answer).await, "", "{shown}");
    }
    assert_eq!(
        service.get("/medias/info/up/load").await.status(),
        StatusCode::NOT_FOUND
    );
    installation.wait_for_stored_files(0).await;
}

#[tokio::test]
async fn an_interrupted_or_stalled_upload_leaves_nothing() {
    let installation = Installation::new(MEDIA).with("MEDIA_STALL_TIMEOUT", "1s");
    let service = installation.serve().await;
    let head = "POST /medias/files/up/load HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000\r\n\r\n--b\r\nContent-Disposition: form-data; name=\"media\"; filename=\"a\"\r\n\r\nsome bytes";
    let address = service.url("").replace("http://", "");

    let mut broken = TcpStream::connect(&address).await.unwrap();
    broken.write_all(head.as_bytes()).await.unwrap();
    wait_until(
        "the upload has begun",
        Duration::from_secs(10),
        async || (!installation.stored_files().is_empty()).then_some(()),
    )
    .await;
    drop(broken);
    installation.wait_for_stored_files(0).await;

    let mut stalled = TcpStream::connect(&address).await.unwrap();
    stalled.write_all(head.as_bytes()).await.unwrap();
    let mut answer = vec![0; 12];
    stalled.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 408");
    installation.wait_for_stored_files(0).await;
}

#[tokio::test]
async fn an_endless_form_without_a_file_is_refused_in_bounded_memory() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let address = service.url("").replace("http://", "");
    let idle = service.memory_now();
    for start in [
        "",
        "--b\r\nContent-Disposition: form-data; name=\"media\"; filename=\"",
    ] {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        let head = "POST /medias/files/up/load HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=b\r\nContent-Length: 1000000000\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(start.as_bytes()).await.unwrap();
        let endless = vec![b'x'; 1 << 20];
        // The service reads for a while, then answers and closes the connection.
        for _ in 0..200 {
            if stream.write_all(&endless).await.is_err() {
                break;
            }
        }
        let added = service.peak_memory().saturating_sub(idle);
        assert!(added < 16 << 20, "{added} bytes more for {start:?}");
    }
    assert_eq!(service.get("/livez").await.status(), StatusCode::OK);
}
