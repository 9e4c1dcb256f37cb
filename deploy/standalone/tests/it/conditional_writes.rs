//! `If-Match` and `If-None-Match` on uploads and deletions.

use media_testkit::service::{Installation, Service};
use reqwest::{
    Method, StatusCode,
    header::{ETAG, IF_MATCH, IF_NONE_MATCH},
};
use serde_json::Value;

use crate::fixture::{MEDIA, upload_form};

const PATH: &str = "/medias/files/r/k";

/// Sends a request with a condition, and uploads `bytes` if there are any.
async fn send(
    service: &Service,
    method: Method,
    condition: Option<(&str, &str)>,
    bytes: Option<&[u8]>,
) -> (StatusCode, Value) {
    let mut request = service.http.request(method, service.url(PATH));
    if let Some((name, value)) = condition {
        request = request.header(name, value);
    }
    if let Some(bytes) = bytes {
        request = request.multipart(upload_form("file", bytes));
    }
    let answer = request.send().await.unwrap();
    let status = answer.status();
    (status, answer.json().await.unwrap_or_default())
}

async fn upload(
    service: &Service,
    condition: Option<(&str, &str)>,
    bytes: &[u8],
) -> (StatusCode, Value) {
    send(service, Method::POST, condition, Some(bytes)).await
}

async fn tag(service: &Service) -> String {
    let head = service.http.head(service.url(PATH)).send().await.unwrap();
    head.headers()[ETAG].to_str().unwrap().to_owned()
}

async fn bytes(service: &Service) -> String {
    service.get(PATH).await.text().await.unwrap()
}

#[tokio::test]
async fn an_upload_obeys_its_conditions() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let new = Some((IF_NONE_MATCH.as_str(), "*"));
    let (refused, _) = upload(&service, Some((IF_MATCH.as_str(), "*")), b"zero").await;
    assert_eq!(refused, StatusCode::PRECONDITION_FAILED);
    assert!(upload(&service, new, b"one").await.0.is_success());
    let (refused, document) = upload(&service, new, b"two").await;
    assert_eq!(refused, StatusCode::PRECONDITION_FAILED);
    assert_eq!(document["errors"][0]["code"], "precondition_failed");
    let first = tag(&service).await;
    assert!(
        upload(&service, Some((IF_MATCH.as_str(), &first)), b"three")
            .await
            .0
            .is_success()
    );
    for stale in [first.as_str(), "\"other\"", "no tag"] {
        let (refused, _) = upload(&service, Some((IF_MATCH.as_str(), stale)), b"four").await;
        assert_eq!(refused, StatusCode::PRECONDITION_FAILED, "{stale}");
    }
    assert_eq!(bytes(&service).await, "three");
    // The replaced file waits for the collector; refused uploads have left nothing.
    assert_eq!(installation.stored_files().len(), 2);
}

#[tokio::test]
async fn a_deletion_obeys_its_conditions() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    assert!(upload(&service, None, b"one").await.0.is_success());
    let current = tag(&service).await;
    for (name, value) in [
        (IF_MATCH, "\"other\""),
        (IF_MATCH, "no tag"),
        (IF_NONE_MATCH, "*"),
        (IF_NONE_MATCH, current.as_str()),
    ] {
        let condition = Some((name.as_str(), value));
        let (refused, _) = send(&service, Method::DELETE, condition, None).await;
        assert_eq!(refused, StatusCode::PRECONDITION_FAILED, "{name}: {value}");
    }
    assert_eq!(bytes(&service).await, "one");
    let condition = Some((IF_MATCH.as_str(), current.as_str()));
    let (deleted, _) = send(&service, Method::DELETE, condition, None).await;
    assert_eq!(deleted, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_failed_condition_is_reported_before_the_body() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    assert!(upload(&service, None, b"one").await.0.is_success());
    let large = vec![b'x'; 8 << 20];
    let condition = Some((IF_NONE_MATCH.as_str(), "*"));
    let (refused, _) = upload(&service, condition, &large).await;
    assert_eq!(refused, StatusCode::PRECONDITION_FAILED);
}
