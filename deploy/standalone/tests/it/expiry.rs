//! Media that expires: gone at its second, for caches too, and collected soon after.

use std::time::Duration;

use chrono::{SecondsFormat, Utc};
use media_testkit::{
    nginx::Nginx,
    service::{Installation, Service},
    wait_until,
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::fixture::MEDIA;

const COLLECTED: Duration = Duration::from_mins(1);

/// Imports a public media that expires in so many seconds.
async fn import(service: &Service, nginx: &Nginx, key: &str, seconds: i64) -> Value {
    nginx.add("a.txt", b"bytes");
    let at = Utc::now() + Duration::from_secs(seconds.unsigned_abs());
    let arguments = json!({
        "url": nginx.url("a.txt"), "resource": "r", "key": key, "public": true,
        "expires_at": at.to_rfc3339_opts(SecondsFormat::Millis, true),
    });
    let job = service.create_job(&arguments, json!({})).await;
    let job = service
        .wait_for(job["id"].as_str().unwrap(), &["succeeded", "failed"])
        .await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    job
}

#[tokio::test]
async fn an_expired_media_is_gone_and_collected() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let job = import(&service, &nginx, "short", 3).await;
    import(&service, &nginx, "long", 3600).await;
    let path = "/medias/files/r/short";
    assert_eq!(service.get(path).await.status(), StatusCode::OK);
    let included = format!("/jobs/{}?include=media", job["id"].as_str().unwrap());
    let count = async || {
        let list: Value = service
            .get("/medias?count=true")
            .await
            .json()
            .await
            .unwrap();
        let job: Value = service.get(&included).await.json().await.unwrap();
        let listed = list["data"].as_array().unwrap().len();
        let included = job["included"].as_array().unwrap().len();
        (listed, list["meta"]["count"].as_u64().unwrap(), included)
    };
    assert_eq!(count().await, (2, 2, 1));
    wait_until("the media is gone", Duration::from_secs(10), async || {
        (service.get(path).await.status() == StatusCode::NOT_FOUND).then_some(())
    })
    .await;
    assert_eq!(count().await, (1, 1, 0));
    assert_eq!(
        service.get("/medias/info/r/short").await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        service.get("/medias/files/r/long").await.status(),
        StatusCode::OK
    );
    wait_until("the file is collected", COLLECTED, async || {
        (installation.stored_files().len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn caches_keep_no_copy_beyond_the_end() {
    let nginx = Nginx::start().await;
    let installation = Installation::new(MEDIA).with("MEDIA_PUBLIC_MAX_AGE", "10m");
    let service = installation.serve().await;
    import(&service, &nginx, "soon", 60).await;
    import(&service, &nginx, "later", 3600).await;
    let age = async |key: &str| {
        let answer = service.get(&format!("/medias/files/r/{key}")).await;
        let cache = answer.headers()["cache-control"]
            .to_str()
            .unwrap()
            .to_owned();
        let age = cache
            .strip_prefix("public, max-age=")
            .unwrap()
            .parse::<i64>();
        let expires = answer.headers()["expires"].to_str().unwrap();
        let expires = chrono::DateTime::parse_from_rfc2822(expires).unwrap();
        (
            age.unwrap(),
            (expires.with_timezone(&Utc) - Utc::now()).num_seconds(),
        )
    };
    let (max_age, expires) = age("soon").await;
    assert!(
        (1..60).contains(&max_age) && (0..60).contains(&expires),
        "{max_age} {expires}"
    );
    let (max_age, expires) = age("later").await;
    assert!(
        max_age == 600 && (590..=600).contains(&expires),
        "{max_age} {expires}"
    );
}

#[tokio::test]
async fn an_import_cannot_expire_in_the_past() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    for (name, value) in [
        ("expires_at", json!("2020-01-01T00:00:00Z")),
        ("md5", json!("abc")),
        ("meta", json!({ "a": "\0" })),
        ("if_exists", json!("maybe")),
    ] {
        let mut arguments = json!({ "url": "http://origin.test/a", "resource": "r" });
        arguments[name] = value;
        let document = media_testkit::service::import(&arguments, json!({}));
        let answer = service.post("/jobs", &document).await;
        assert_eq!(answer.status(), StatusCode::UNPROCESSABLE_ENTITY, "{name}");
        let document: Value = answer.json().await.unwrap();
        let pointer = format!("/data/attributes/arguments/{name}");
        assert_eq!(
            document["errors"][0]["source"]["pointer"],
            pointer.as_str(),
            "{document}"
        );
    }
}
