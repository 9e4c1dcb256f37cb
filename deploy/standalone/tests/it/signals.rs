//! Signals, changes and events of jobs over HTTP.

use std::time::Duration;

use media_testkit::{
    bytes::same_bytes,
    nginx::Nginx,
    service::{FAR_FUTURE, Installation, Service, change_document},
    wait_until,
};
use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

use crate::fixture::{MEDIA, begin_slow_import};

async fn change(service: &Service, id: &str, attributes: Value) -> Response {
    let document = change_document(id, &attributes);
    let request = service.http.patch(service.url(&format!("/jobs/{id}")));
    request.json(&document).send().await.unwrap()
}

#[tokio::test]
async fn a_running_import_obeys_signals_within_two_seconds() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let id = begin_slow_import(&service, &nginx, 12).await;
    for (sent, status) in [("pause", "paused"), ("cancel", "cancelled")] {
        if service.job(&id).await["attributes"]["status"] != "running" {
            // The job was resumed at the end of the previous round.
            service.wait_for(&id, &["running"]).await;
        }
        let answer = service.signal(&id, sent).await;
        assert_eq!(answer.status(), StatusCode::ACCEPTED);
        wait_until(status, Duration::from_secs(2), async || {
            (service.job(&id).await["attributes"]["status"] == status).then_some(())
        })
        .await;
        assert!(installation.stored_files().is_empty(), "{status}");
        if sent == "pause" {
            assert_eq!(service.signal(&id, "resume").await.status(), StatusCode::OK);
        }
    }
    assert_eq!(service.signal(&id, "retry").await.status(), StatusCode::OK);
    let job = service.wait_for(&id, &["succeeded", "failed"]).await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    assert!(same_bytes(
        &installation.stored_files()[0],
        &nginx.path("large")
    ));
}

#[tokio::test]
async fn signals_and_changes_in_the_wrong_status_are_conflicts() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    nginx.add("file", b"bytes");
    let done = service.import(&nginx.url("file"), "done", None).await;
    let done = done["id"].as_str().unwrap();
    for name in ["cancel", "pause", "resume", "retry"] {
        assert_eq!(
            service.signal(done, name).await.status(),
            StatusCode::CONFLICT,
            "{name}"
        );
    }
    assert_eq!(
        change(&service, done, json!({ "priority": 1 }))
            .await
            .status(),
        StatusCode::CONFLICT
    );
    let unknown = "00000000-0000-0000-0000-000000000000";
    assert_eq!(
        service.signal(unknown, "cancel").await.status(),
        StatusCode::NOT_FOUND
    );
    assert_eq!(
        change(&service, unknown, json!({})).await.status(),
        StatusCode::NOT_FOUND
    );

    let arguments = json!({ "url": nginx.url("file"), "resource": "later" });
    let job = service
        .create_job(&arguments, json!({ "scheduled_at": FAR_FUTURE }))
        .await;
    let id = job["id"].as_str().unwrap();
    assert_eq!(
        service.signal(id, "resume").await.status(),
        StatusCode::CONFLICT
    );
    assert_eq!(
        service.signal(id, "dance").await.status(),
        StatusCode::UNPROCESSABLE_ENTITY
    );
    for attributes in [
        json!({ "priority": 101 }),
        json!({ "scheduled_at": "soon" }),
        json!({ "status": "running" }),
    ] {
        let refused = change(&service, id, attributes).await;
        assert_eq!(refused.status(), StatusCode::UNPROCESSABLE_ENTITY);
    }
    let other = change_document(unknown, &json!({}));
    let refused = service
        .http
        .patch(service.url(&format!("/jobs/{id}")))
        .json(&other)
        .send()
        .await
        .unwrap();
    assert_eq!(refused.status(), StatusCode::CONFLICT);

    let changed: Value = change(&service, id, json!({ "priority": 9 }))
        .await
        .json()
        .await
        .unwrap();
    let attributes = &changed["data"]["attributes"];
    assert_eq!(
        (&attributes["priority"], &attributes["status"]),
        (&json!(9), &json!("scheduled"))
    );
    // Null makes the job due at once.
    let answer = change(&service, id, json!({ "scheduled_at": null })).await;
    assert_eq!(answer.status(), StatusCode::OK);
    service.wait_for(id, &["succeeded"]).await;
}

/// Reads an event stream to its end.
async fn listen(service: &Service, id: &str, last_event: Option<&str>) -> String {
    let mut request = service.http.get(service.url(&format!("/jobs/{id}/events")));
    if let Some(last) = last_event {
        request = request.header("last-event-id", last);
    }
    let answer = request
        .timeout(Duration::from_secs(30))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    answer.text().await.unwrap()
}

#[tokio::test]
async fn listeners_receive_progress_and_then_the_end() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let id = begin_slow_import(&service, &nginx, 24).await;
    let listeners = (0..20).map(|_| listen(&service, &id, None));
    for heard in futures_util::future::join_all(listeners).await {
        assert!(heard.matches("event: progress").count() >= 2, "{heard}");
        assert_eq!(heard.matches("event: end").count(), 1, "{heard}");
        assert!(
            heard
                .trim_end()
                .rsplit("event: end")
                .next()
                .unwrap()
                .contains("\"succeeded\""),
            "{heard}"
        );
    }
    // A listener that connects after the end receives the end event only.
    let heard = listen(&service, &id, None).await;
    assert_eq!(
        (
            heard.matches("event:").count(),
            heard.matches("event: end").count()
        ),
        (1, 1)
    );
    let unknown = service
        .get("/jobs/00000000-0000-0000-0000-000000000000/events")
        .await;
    assert_eq!(unknown.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_reconnected_listener_receives_only_new_events() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let arguments = json!({ "url": "http://origin.test/", "resource": "r" });
    let job = service
        .create_job(&arguments, json!({ "scheduled_at": FAR_FUTURE }))
        .await;
    let id = job["id"].as_str().unwrap();
    let mut first = service.get(&format!("/jobs/{id}/events")).await;
    let event = String::from_utf8(first.chunk().await.unwrap().unwrap().to_vec()).unwrap();
    let known = event
        .lines()
        .find_map(|line| line.strip_prefix("id: "))
        .unwrap()
        .to_owned();
    drop(first);
    let again = listen(&service, id, Some(&known));
    let delete = async {
        tokio::time::sleep(Duration::from_millis(100)).await;
        service
            .http
            .delete(service.url(&format!("/jobs/{id}")))
            .send()
            .await
            .unwrap()
    };
    let (heard, deleted) = tokio::join!(again, delete);
    assert_eq!(deleted.status(), StatusCode::NO_CONTENT);
    assert!(!heard.contains("event: progress"), "{heard}");
    assert!(
        heard.contains("event: end") && heard.contains("\"data\":null"),
        "{heard}"
    );
}

#[tokio::test]
async fn an_open_event_stream_does_not_delay_the_shutdown() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let arguments = json!({ "url": "http://origin.test/", "resource": "r" });
    let job = service
        .create_job(&arguments, json!({ "scheduled_at": FAR_FUTURE }))
        .await;
    let mut stream = service
        .get(&format!("/jobs/{}/events", job["id"].as_str().unwrap()))
        .await;
    stream.chunk().await.unwrap().unwrap();
    let began = std::time::Instant::now();
    assert!(service.stop().await.success());
    assert!(
        began.elapsed() < Duration::from_secs(8),
        "{:?}",
        began.elapsed()
    );
}
