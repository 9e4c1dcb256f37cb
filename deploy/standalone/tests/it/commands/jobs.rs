//! `media signal`, `media events`, and `media rm --job`.

use media_testkit::{
    nginx::Nginx,
    service::{FAR_FUTURE, Installation},
};
use serde_json::json;

use super::{MEDIA, error_of, json_lines, output_of};
use crate::fixture::begin_slow_import;

#[tokio::test]
async fn jobs_are_signalled_by_id_and_by_filter() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let mut ids = Vec::new();
    for key in ["a", "b", "c"] {
        let arguments = json!({ "url": "http://origin.invalid/", "resource": "r", "key": key });
        let job = service
            .create_job(&arguments, json!({ "scheduled_at": FAR_FUTURE }))
            .await;
        ids.push(job["id"].as_str().unwrap().to_owned());
    }
    let said = output_of(&installation, &["signal", "pause", &ids[0]]).await;
    assert_eq!(said, format!("{}  paused\n", ids[0]));
    let selected = output_of(
        &installation,
        &["signal", "cancel", "status=scheduled", "--dry-run"],
    )
    .await;
    assert_eq!(selected, format!("{}\n{}\n", ids[1], ids[2]));
    let jobs = output_of(
        &installation,
        &["signal", "cancel", "status=scheduled", "--json"],
    )
    .await;
    assert_eq!(json_lines(&jobs).len(), 2);
    assert_eq!(
        service.job(&ids[2]).await["attributes"]["status"],
        "cancelled"
    );
    let said = error_of(&installation, &["signal", "resume", &ids[1]], 1).await;
    assert!(said.contains(&ids[1]) && said.contains("refused"), "{said}");

    let said = output_of(&installation, &["rm", "--job", &ids[1]]).await;
    assert_eq!(said, format!("deleted {}\n", ids[1]));
    error_of(&installation, &["jobs", &ids[1]], 1).await;
    assert!(service.stop().await.success());
}

#[tokio::test]
async fn events_follow_jobs_until_they_end() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let id = begin_slow_import(&service, &nginx, 12).await;
    let events = output_of(&installation, &["events", &id, "--json"]).await;
    let events = json_lines(&events);
    assert!(events.len() > 2, "{events:?}");
    let last = events.last().unwrap();
    assert_eq!(last["event"], "end");
    assert_eq!(last["job"]["attributes"]["status"], "succeeded");
    let said = output_of(&installation, &["events", &id]).await;
    assert!(
        said.trim_end().ends_with(&format!("{id}  succeeded")),
        "{said}"
    );

    let arguments = json!({ "url": nginx.url("none"), "resource": "r" });
    let job = service.create_job(&arguments, json!({})).await;
    let failed = job["id"].as_str().unwrap();
    let output = installation
        .command(&["events", "-q", &id, failed])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(output.stdout.is_empty());
    assert!(service.stop().await.success());
    // Without a service, the present state is shown.
    let said = output_of(&installation, &["events", &id]).await;
    assert!(said.contains("succeeded"), "{said}");
}
