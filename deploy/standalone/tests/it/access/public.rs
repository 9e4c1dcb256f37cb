//! Public media, as the world sees them.

use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::world::{Who, World};

#[tokio::test]
async fn public_media_are_for_caches_and_tell_nothing_of_who_put_them_there() {
    let world = World::new().await;
    let target = world.target(true).await;
    let path = format!("/medias/files/{}", target.resource);
    let answer = world.get(Who::Anonymous, &path).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["cache-control"], "public, no-cache");
    let tag = answer.headers()["etag"].clone();
    let again = world.ask(Who::Anonymous, Method::GET, &path);
    let again = again.header("if-none-match", tag).send().await.unwrap();
    assert_eq!(again.status(), StatusCode::NOT_MODIFIED);
    assert_eq!(again.headers()["cache-control"], "public, no-cache");

    let info = format!("/medias/info/{}/k", target.resource);
    let told = |document: Value| document["data"]["attributes"].clone();
    let theirs = told(world.document(Who::Anonymous, &info).await);
    let own = told(world.document(Who::Colleague, &info).await);
    assert_eq!(own["created_by"], "owner");
    for name in ["created_by", "created_role", "source_url"] {
        assert_eq!(theirs[name], Value::Null, "{name}");
    }
    for name in ["sha256", "size", "filename", "mime_type", "public"] {
        assert_eq!(theirs[name], own[name], "{name}");
    }
    // Its links lead to it, whoever else has something public at its path.
    let links = world.document(Who::Anonymous, &info).await["data"]["links"].clone();
    let download = links["download"].as_str().unwrap();
    assert!(download.ends_with("?project_id=a"), "{download}");
    assert_eq!(
        world.get(Who::Anonymous, download).await.status(),
        StatusCode::OK
    );
}
