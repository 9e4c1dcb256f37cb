//! Limits of projects: stored bytes and unfinished jobs.

use std::time::Duration;

use media_testkit::origin::{Content, RangedOrigin};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::fixture::{Fixture, Who, form, installation};

#[tokio::test]
async fn concurrent_uploads_stay_within_the_quota() {
    const SIZE: usize = 50_000;
    const FIT: usize = 20;
    let limit = (SIZE * FIT + SIZE / 2).to_string();
    let fixture = Fixture::of(installation().with("MEDIA_PROJECT_MAX_BYTES", &limit)).await;
    let bytes: &'static [u8] = vec![7; SIZE].leak();
    let uploads = (0..200).map(|number| {
        let path = format!("/medias/files/quota/{number}");
        let request = fixture.ask(Who::Service, Method::POST, &path);
        request.multipart(form(bytes, false)).send()
    });
    let mut kept = 0;
    for answer in futures_util::future::join_all(uploads).await {
        let answer = answer.unwrap();
        match answer.status() {
            StatusCode::CREATED => kept += 1,
            status => {
                let document: Value = answer.json().await.unwrap();
                assert_eq!(status, StatusCode::INSUFFICIENT_STORAGE, "{document}");
                assert_eq!(
                    document["errors"][0]["code"], "quota_exceeded",
                    "{document}"
                );
            }
        }
    }
    assert!((1..=FIT).contains(&kept), "{kept} of {FIT} fit");
    assert_eq!(fixture.count(Who::Service, "/medias").await, kept as u64);
    // Refused uploads use no quota: sequential uploads fill the rest exactly.
    let upload = async |name: usize| {
        let path = format!("/medias/files/quota/more-{name}");
        let request = fixture.ask(Who::Owner, Method::POST, &path);
        let answer = request.multipart(form(bytes, false)).send().await;
        answer.unwrap().status()
    };
    for name in kept..FIT {
        assert_eq!(upload(name).await, StatusCode::CREATED, "{name}");
    }
    assert_eq!(upload(FIT).await, StatusCode::INSUFFICIENT_STORAGE);
    // Another project has a quota of its own.
    let request = fixture.ask(Who::ForeignService, Method::POST, "/medias/files/quota/0");
    let answer = request.multipart(form(bytes, false)).send().await;
    assert_eq!(answer.unwrap().status(), StatusCode::CREATED);
    // Deleted media free the quota.
    let deleted = fixture.ask(
        Who::Service,
        Method::DELETE,
        &format!("/medias/files/quota/more-{kept}"),
    );
    let room = deleted.send().await.unwrap().status();
    if kept < FIT {
        assert_eq!(room, StatusCode::NO_CONTENT);
        assert_eq!(upload(FIT).await, StatusCode::CREATED);
    }

    let origin = RangedOrigin::start().await;
    let size = SIZE as u64;
    let url = origin.add("picture.png", Content::Generated { size, seed: 1 });
    let arguments = json!({ "url": url, "resource": "imported" });
    let document = media_testkit::service::import(&arguments, json!({ "max_retries": 3 }));
    let entered = fixture.post(Who::Owner, "/jobs", &document).await;
    let job: Value = entered.json().await.unwrap();
    let path = format!("/jobs/{}", job["data"]["id"].as_str().unwrap());
    media_testkit::wait_until("the import ends", Duration::from_secs(30), async || {
        let job = fixture.document(Who::Owner, &path).await;
        let attributes = &job["data"]["attributes"];
        (attributes["finished_at"] != Value::Null)
            .then(|| assert_eq!(attributes["error"], "quota_exceeded", "{job}"))
    })
    .await;
}

#[tokio::test]
async fn unfinished_jobs_are_limited_per_project() {
    let fixture = Fixture::of(installation().with("MEDIA_PROJECT_MAX_JOBS", "10")).await;
    let enters = (0..30).map(|_| fixture.create_job(Who::Service, "r", json!({})));
    let answers = futures_util::future::join_all(enters).await;
    let entered = answers.iter().filter(|a| a.status() == StatusCode::CREATED);
    assert_eq!(entered.count(), 10);
    let refused = answers
        .into_iter()
        .find(|a| a.status() != StatusCode::CREATED)
        .unwrap();
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(refused.headers()["retry-after"], "60");
    let document: Value = refused.json().await.unwrap();
    assert_eq!(document["errors"][0]["code"], "too_many_jobs");
    assert_eq!(
        fixture
            .create_job(Who::ForeignService, "r", json!({}))
            .await
            .status(),
        StatusCode::CREATED
    );
}
