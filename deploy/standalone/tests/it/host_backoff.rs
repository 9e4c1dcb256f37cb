//! Back-off for a host that asks for it, shared by all imports.

use std::time::Duration;

use media_testkit::{
    origin::{Content, FaultyOrigin, RangedOrigin, http_date},
    service::Installation,
};
use serde_json::json;

use crate::fixture::MEDIA;

#[tokio::test]
async fn back_off_applies_to_all_imports_of_a_host_without_using_their_attempts() {
    let (origin, installation) = (RangedOrigin::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let url = origin.add("file", Content::Bytes([1; 1000].into()));
    origin.script(|script| script.busy = [(429, "4".to_owned())].into());
    let arguments = |key: &str| json!({ "url": url, "resource": "r", "key": key });

    let first = service.create_job(&arguments("first"), json!({})).await;
    let first = first["id"].as_str().unwrap();
    let refused = service.wait_for(first, &["scheduled"]).await;
    assert_eq!(refused["attributes"]["error"], "origin_busy", "{refused}");
    assert_eq!(refused["attributes"]["retry_count"], 1, "{refused}");

    // These jobs have no retries.
    let attributes = || json!({ "max_retries": 0 });
    let second = service.create_job(&arguments("second"), attributes()).await;
    let third = service.create_job(&arguments("third"), attributes()).await;
    let others = [second, third].map(|job| job["id"].as_str().unwrap().to_owned());
    for id in &others {
        let waiting = service
            .wait_for(id, &["scheduled", "succeeded", "failed"])
            .await;
        assert_eq!(waiting["attributes"]["status"], "scheduled", "{waiting}");
        assert_eq!(waiting["attributes"]["error"], "origin_busy", "{waiting}");
    }
    for id in others.iter().map(String::as_str).chain([first]) {
        let job = service.wait_for(id, &["succeeded", "failed"]).await;
        assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
        assert_eq!(
            job["attributes"]["retry_count"],
            u8::from(id == first),
            "{job}"
        );
    }
    let requests = origin.requests();
    assert_eq!(requests.len(), 4, "{requests:?}");
    for later in &requests[1..] {
        let pause = later.began - requests[0].began;
        assert!(
            pause >= Duration::from_millis(3900),
            "{pause:?}: {requests:?}"
        );
    }
}

#[tokio::test]
async fn retry_after_may_be_a_date_and_come_with_503() {
    let (origin, installation) = (RangedOrigin::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let url = origin.add("file", Content::Bytes([1; 1000].into()));
    let date = http_date(chrono::Utc::now() + chrono::TimeDelta::seconds(5));
    origin.script(|script| script.busy = [(503, date)].into());
    let arguments = |key: &str| json!({ "url": url, "resource": "r", "key": key });
    let first = service.create_job(&arguments("first"), json!({})).await;
    let first = first["id"].as_str().unwrap();
    let refused = service.wait_for(first, &["scheduled"]).await;
    assert_eq!(refused["attributes"]["error"], "origin_error", "{refused}");
    // The back-off applies to the whole host.
    let second = service
        .create_job(&arguments("second"), json!({ "max_retries": 0 }))
        .await;
    let second = second["id"].as_str().unwrap();
    for id in [first, second] {
        let job = service.wait_for(id, &["succeeded", "failed"]).await;
        assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    }
    let requests = origin.requests();
    assert_eq!(requests.len(), 3, "{requests:?}");
    for later in &requests[1..] {
        // A date has a resolution of one second.
        let pause = later.began - requests[0].began;
        assert!(
            pause >= Duration::from_millis(3500),
            "{pause:?}: {requests:?}"
        );
    }
}

#[tokio::test]
async fn the_user_agent_names_the_service_and_a_contact() {
    let origin = FaultyOrigin::start().await;
    let installation = Installation::new(MEDIA).with("MEDIA_CONTACT", "ops@example.test");
    let service = installation.serve().await;
    service.import(&origin.url("echo"), "r", None).await;
    let request = service.get("/medias/files/r").await.text().await.unwrap();
    let expected = concat!(
        "user-agent: media-importer/",
        env!("CARGO_PKG_VERSION"),
        " (+ops@example.test)"
    );
    assert!(request.contains(expected), "{request}");
}
