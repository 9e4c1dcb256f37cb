//! Signed links: valid for one media, for a limited time, for every caller.

use media_testkit::{tokens::SIGNING_KEY, wait_until};
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::fixture::{Fixture, Target, Who, installation};

/// Returns a request for a link to the media at a path, the resource and the key.
fn request(path: &str, mut attributes: Value) -> Value {
    let (resource, key) = path
        .split_once('/')
        .map_or((path, None), |(resource, key)| (resource, Some(key)));
    attributes["resource"] = resource.into();
    if let Some(key) = key {
        attributes["key"] = key.into();
    }
    json!({ "data": { "type": "media:links", "attributes": attributes } })
}

async fn link(fixture: &Fixture, who: Who, path: &str, attributes: Value) -> String {
    let answer = fixture
        .post(who, "/links", &request(path, attributes))
        .await;
    assert_eq!(answer.status(), StatusCode::CREATED);
    let document: Value = answer.json().await.unwrap();
    assert_eq!(document["data"]["type"], "media:links");
    assert!(document["data"]["attributes"]["expires_at"].is_string());
    document["data"]["attributes"]["url"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn refused(answer: Response, code: &str) {
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let document: Value = answer.json().await.unwrap();
    assert_eq!(document["errors"][0]["code"], code, "{document}");
}

fn by_key(target: &Target) -> String {
    format!("{}/k", target.resource)
}

#[tokio::test]
async fn a_link_is_valid_for_one_media_and_every_caller() {
    let fixture = Fixture::new().await;
    let target = fixture.target(false).await;
    for path in [target.resource.clone(), by_key(&target)] {
        let url = link(&fixture, Who::Colleague, &path, json!({})).await;
        for who in [
            Who::Anonymous,
            Who::Stranger,
            Who::WithoutProject,
            Who::Owner,
        ] {
            let answer = fixture.get(who, &url).await;
            assert_eq!(answer.status(), StatusCode::OK, "{who:?}");
            let headers = answer.headers();
            assert_eq!(headers["cache-control"], "private, no-cache");
            let said = headers["content-disposition"].to_str().unwrap().to_owned();
            assert!(said.starts_with("attachment"), "{said}");
            assert!(!answer.bytes().await.unwrap().is_empty());
        }
        let head = fixture.ask(Who::Anonymous, Method::HEAD, &url).send().await;
        assert_eq!(head.unwrap().status(), StatusCode::OK);
        let part = fixture
            .ask(Who::Anonymous, Method::GET, &url)
            .header("range", "bytes=1-3");
        let part = part.send().await.unwrap();
        assert_eq!(part.status(), StatusCode::PARTIAL_CONTENT);
        assert_eq!(part.bytes().await.unwrap(), "PNG");
        // The link allows reads of the bytes only.
        for method in [Method::DELETE, Method::POST] {
            let answer = fixture.ask(Who::Anonymous, method, &url).send().await;
            assert_eq!(answer.unwrap().status(), StatusCode::UNAUTHORIZED);
        }
        let info = url.replace("/medias/files/", "/medias/info/");
        assert!(
            fixture
                .get(Who::Anonymous, &info)
                .await
                .status()
                .is_client_error()
        );
    }
    let url = link(
        &fixture,
        Who::Owner,
        &by_key(&target),
        json!({ "disposition": "inline" }),
    )
    .await;
    let answer = fixture.get(Who::Anonymous, &url).await;
    let said = answer.headers()["content-disposition"]
        .to_str()
        .unwrap()
        .to_owned();
    assert!(said.starts_with("inline"), "{said}");
}

#[tokio::test]
async fn a_changed_link_is_refused() {
    let fixture = Fixture::new().await;
    let (target, other) = (fixture.target(false).await, fixture.target(false).await);
    let url = link(
        &fixture,
        Who::Owner,
        &by_key(&target),
        json!({ "expires_in": 100 }),
    )
    .await;
    let query = url.split_once('?').unwrap().1;
    refused(
        fixture
            .get(Who::Anonymous, &format!("{url}&disposition=inline"))
            .await,
        "invalid_link",
    )
    .await;
    refused(
        fixture
            .get(Who::Anonymous, &url.replace("expires=1", "expires=2"))
            .await,
        "invalid_link",
    )
    .await;
    refused(
        fixture
            .get(Who::Anonymous, &url.replace(&target.media, &other.media))
            .await,
        "invalid_link",
    )
    .await;
    let alone = format!("/medias/files/{}?signature=x", by_key(&target));
    refused(fixture.get(Who::Anonymous, &alone).await, "invalid_link").await;
    // The signature is not valid for another media.
    let elsewhere = format!("/medias/files/{}?{query}", by_key(&other));
    assert_eq!(
        fixture.get(Who::Anonymous, &elsewhere).await.status(),
        StatusCode::NOT_FOUND
    );
    let unsigned = format!("/medias/files/{}?media={}", by_key(&target), target.media);
    assert_eq!(
        fixture.get(Who::Owner, &unsigned).await.status(),
        StatusCode::BAD_REQUEST
    );
}

#[tokio::test]
async fn a_link_stays_valid_when_its_media_is_moved() {
    let fixture = Fixture::new().await;
    let target = fixture.target(false).await;
    let path = by_key(&target);
    let url = link(&fixture, Who::Owner, &path, json!({})).await;
    let attributes = json!({ "resource": format!("{}-moved", target.resource), "key": null });
    let change = json!({
        "data": { "type": "media:medias", "id": target.media, "attributes": attributes },
    });
    let info = format!("/medias/info/{path}");
    let moved = fixture.ask(Who::Owner, Method::PATCH, &info).json(&change);
    assert_eq!(moved.send().await.unwrap().status(), StatusCode::OK);
    let answer = fixture.get(Who::Anonymous, &url).await;
    assert_eq!(answer.status(), StatusCode::OK);
    // The old place has another media now.
    let other = fixture.upload(Who::Owner, &path, false).await;
    assert!(other.status().is_success());
    let answer = fixture.get(Who::Anonymous, &url).await;
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_link_ends_when_it_expires_or_its_media_is_deleted() {
    let fixture = Fixture::new().await;
    let target = fixture.target(false).await;
    let short = link(
        &fixture,
        Who::Owner,
        &by_key(&target),
        json!({ "expires_in": 1 }),
    )
    .await;
    let limit = std::time::Duration::from_secs(10);
    wait_until("the link has expired", limit, async || {
        let answer = fixture.get(Who::Anonymous, &short).await;
        (answer.status() == StatusCode::FORBIDDEN).then_some(())
    })
    .await;
    refused(fixture.get(Who::Anonymous, &short).await, "link_expired").await;

    let url = link(&fixture, Who::Owner, &by_key(&target), json!({})).await;
    let path = format!("/medias/files/{}", by_key(&target));
    let deleted = fixture
        .ask(Who::Owner, Method::DELETE, &path)
        .send()
        .await
        .unwrap();
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert_eq!(
        fixture.get(Who::Anonymous, &url).await.status(),
        StatusCode::NOT_FOUND
    );
    // A new media at the same path is another media.
    assert_eq!(
        fixture
            .upload(Who::Owner, &by_key(&target), false)
            .await
            .status(),
        StatusCode::CREATED
    );
    assert_eq!(
        fixture.get(Who::Anonymous, &url).await.status(),
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn invalid_links_are_refused_and_a_key_may_be_called_links() {
    let fixture = Fixture::new().await;
    let target = fixture.target(false).await;
    for (attributes, status) in [
        (json!({ "expires_in": 0 }), 422),
        (json!({ "expires_in": -1 }), 422),
        (json!({ "expires_in": 604_801 }), 422),
        (json!({ "expires_in": "soon" }), 422),
        (json!({ "disposition": "sideways" }), 422),
        (json!({ "for": "ever" }), 422),
        (json!({ "method": "delete" }), 422),
        (json!({ "max_bytes": 10 }), 422),
        (json!({ "accept_types": ["image/png"] }), 422),
        (json!({ "method": "upload", "disposition": "inline" }), 422),
        (json!({ "method": "upload", "max_bytes": 0 }), 422),
        (json!({ "method": "upload", "accept_types": [] }), 422),
        (json!({ "method": "upload", "accept_types": ["png"] }), 422),
    ] {
        let document = request(&by_key(&target), attributes);
        let answer = fixture.post(Who::Owner, "/links", &document).await;
        assert_eq!(answer.status(), status, "{document}");
    }
    let named = format!("{}/links", target.resource);
    assert_eq!(
        fixture.upload(Who::Owner, &named, false).await.status(),
        StatusCode::CREATED
    );
    let answer = fixture
        .get(Who::Owner, &format!("/medias/files/{named}"))
        .await;
    assert_eq!(answer.status(), StatusCode::OK);
    // A link to it works as well.
    let url = link(&fixture, Who::Owner, &named, json!({})).await;
    assert!(url.starts_with(&format!("/medias/files/{named}?")), "{url}");
}

#[tokio::test]
async fn links_survive_a_rotation_of_keys_while_the_old_key_is_configured() {
    const OTHER: &str = "another key that signs the tests' links";
    let fixture = Fixture::new().await;
    let target = fixture.target(false).await;
    let old = link(&fixture, Who::Owner, &by_key(&target), json!({})).await;
    let both = format!("{OTHER},{SIGNING_KEY}");
    let fixture = fixture.restarted_with("MEDIA_URL_SIGNING_KEY", &both).await;
    let new = link(&fixture, Who::Owner, &by_key(&target), json!({})).await;
    for url in [&old, &new] {
        let answer = fixture.get(Who::Anonymous, url).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
    let fixture = fixture.restarted_with("MEDIA_URL_SIGNING_KEY", OTHER).await;
    refused(fixture.get(Who::Anonymous, &old).await, "invalid_link").await;
    let answer = fixture.get(Who::Anonymous, &new).await;
    assert_eq!(answer.status(), StatusCode::OK);
    // Without a signing key there are no signed links.
    let fixture = fixture.restarted_with("MEDIA_URL_SIGNING_KEY", "").await;
    assert!(
        !fixture
            .get(Who::Anonymous, &new)
            .await
            .status()
            .is_success()
    );
}

#[tokio::test]
async fn links_begin_with_the_public_url() {
    let first = installation().with("MEDIA_PUBLIC_URL", "https://media.example.org/");
    let fixture = Fixture::of(first).await;
    let target = fixture.target(false).await;
    let url = link(&fixture, Who::Owner, &by_key(&target), json!({})).await;
    assert!(
        url.starts_with("https://media.example.org/medias/files/"),
        "{url}"
    );
}

#[tokio::test]
async fn a_link_uploads_one_media_without_a_token() {
    let fixture = Fixture::new().await;
    let target = fixture.target(false).await;
    let path = format!("{}/from/a/browser.png", target.resource);
    let limits = json!({ "method": "upload", "max_bytes": 100, "accept_types": ["image/*"] });
    let url = link(&fixture, Who::Owner, &path, limits).await;
    assert!(
        url.starts_with(&format!("/medias/files/{path}?upload=")),
        "{url}"
    );
    let put = async |who, url: &str, body: &[u8]| {
        let request = fixture.ask(who, Method::PUT, url).body(body.to_vec());
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.unwrap())
    };
    let png = b"\x89PNG\r\n\x1a\n";
    let (status, document) = put(Who::Anonymous, &url, png).await;
    assert_eq!(status, 201, "{document}");
    let media = &document["data"]["attributes"];
    assert_eq!(media["created_by"], "owner");
    assert_eq!(media["project_id"], "a");
    assert_eq!(media["filename"], "browser.png");
    // A form, a token of another caller, and a second time.
    let form = super::fixture::form(png, false);
    let answer = fixture
        .ask(Who::Stranger, Method::POST, &url)
        .multipart(form);
    assert_eq!(answer.send().await.unwrap().status(), StatusCode::OK);
    // The limits of the link.
    assert_eq!(put(Who::Anonymous, &url, &[0; 101]).await.0, 413);
    let (status, document) = put(Who::Anonymous, &url, b"plain text").await;
    assert_eq!(status, 415, "{document}");
    let form = super::fixture::form(png, true);
    let answer = fixture
        .ask(Who::Anonymous, Method::POST, &url)
        .multipart(form);
    assert_eq!(answer.send().await.unwrap().status(), StatusCode::FORBIDDEN);
    // The link is for this path and this method only.
    let elsewhere = url.replace("browser.png", "other.png");
    let (status, document) = put(Who::Anonymous, &elsewhere, png).await;
    assert_eq!(
        (status, &document["errors"][0]["code"]),
        (403, &json!("invalid_link"))
    );
    for changed in [
        format!("{url}x"),
        url.replace("upload=", "upload=x"),
        url.replace("&signature=", "&x="),
    ] {
        let (status, document) = put(Who::Anonymous, &changed, png).await;
        assert!(matches!(status, 400 | 403), "{changed}: {document}");
    }
    for method in [Method::DELETE, Method::GET] {
        let answer = fixture
            .ask(Who::Anonymous, method, &url)
            .send()
            .await
            .unwrap();
        assert!(
            matches!(answer.status().as_u16(), 401 | 403 | 404),
            "{answer:?}"
        );
    }
}
