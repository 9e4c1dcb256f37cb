//! Public media for callers without a token.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::fixture::{Fixture, Who};

#[tokio::test]
async fn public_media_are_cacheable_and_hide_their_creator() {
    let fixture = Fixture::new().await;
    let target = fixture.target(true).await;
    let path = format!("/medias/files/{}", target.resource);
    let answer = fixture.get(Who::Anonymous, &path).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["cache-control"], "public, max-age=300");
    let tag = answer.headers()["etag"].clone();
    let again = fixture.ask(Who::Anonymous, Method::GET, &path);
    let again = again.header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(again.headers()["cache-control"], "public, max-age=300");

    let info = format!("/medias/info/{}/k", target.resource);
    let told = |document: Value| document["data"]["attributes"].clone();
    let theirs = told(fixture.document(Who::Anonymous, &info).await);
    let own = told(fixture.document(Who::Colleague, &info).await);
    assert_eq!(own["created_by"], "owner");
    for name in ["created_by", "created_role", "source_url"] {
        assert_eq!(theirs[name], Value::Null, "{name}");
    }
    for name in ["sha256", "size", "filename", "mime_type", "public"] {
        assert_eq!(theirs[name], own[name], "{name}");
    }
    // The links lead to this media, even if another project has a public media at the same path.
    let links = fixture.document(Who::Anonymous, &info).await["data"]["links"].clone();
    let download = links["download"].as_str().unwrap();
    assert!(download.ends_with("?project_id=a"), "{download}");
    assert_eq!(
        fixture.get(Who::Anonymous, download).await.status(),
        StatusCode::OK
    );
}
