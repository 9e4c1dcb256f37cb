//! `media jobs` and `media ls`.

use media_testkit::service::{FAR_FUTURE, Installation};
use serde_json::{Value, json};

use super::{MEDIA, error_of, json_lines, output_of};
use crate::fixture::{file, upload};

#[tokio::test]
async fn jobs_are_listed_filtered_and_shown() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let create = async |key: &str, attributes: Value| {
        let arguments = json!({ "url": format!("http://origin.invalid/{key}.jpg"), "resource": "pics", "key": key });
        let job = service.create_job(&arguments, attributes).await;
        job["id"].as_str().unwrap().to_owned()
    };
    let later = create("later", json!({ "scheduled_at": FAR_FUTURE })).await;
    let failed = create("failed", json!({ "max_retries": 0 })).await;
    service.wait_for(&failed, &["failed"]).await;

    let table = output_of(&installation, &["jobs"]).await;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(
        lines[0].starts_with("ID ") && lines[0].contains("STATUS  "),
        "{table}"
    );
    assert!(lines[1].starts_with(&failed), "newest first: {table}");
    assert!(
        lines[1].contains("failed") && lines[1].contains("dns_failed"),
        "{table}"
    );
    assert!(
        lines[2].starts_with(&later) && lines[2].contains("s ago"),
        "{table}"
    );
    assert!(
        lines[2].ends_with("  http://origin.invalid/later.jpg")
            && lines[2].contains("  pics/later  "),
        "{table}"
    );

    let ids = output_of(&installation, &["jobs", "status=failed", "-q"]).await;
    assert_eq!(ids, format!("{failed}\n"));
    let ids = output_of(
        &installation,
        &[
            "jobs",
            "filter[status__in]=failed,scheduled",
            "--sort",
            "created_at",
            "-q",
        ],
    )
    .await;
    assert_eq!(ids, format!("{later}\n{failed}\n"));
    for (filter, count) in [
        ("created_at__gte=-1h", "2"),
        ("created_at__lte=-1h", "0"),
        ("scheduled_at__gte=+1h", "1"),
    ] {
        let counted = output_of(&installation, &["jobs", filter, "--count"]).await;
        assert_eq!(counted.trim(), count, "{filter}");
    }
    let jobs = json_lines(&output_of(&installation, &["jobs", "--json", "--limit", "1"]).await);
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0]["id"], failed.as_str());
    assert_eq!(jobs[0]["type"], "media:jobs");

    let shown = output_of(&installation, &["jobs", &later]).await;
    assert!(shown.contains("status        scheduled"), "{shown}");
    assert!(shown.contains("key           later"), "{shown}");
    let said = error_of(&installation, &["jobs", "color=red"], 1).await;
    assert!(said.contains("filter[color]"), "{said}");
    let said = error_of(&installation, &["jobs", "status=failed", &later], 2).await;
    assert!(said.contains("not both"), "{said}");
    assert!(service.stop().await.success());
}

#[tokio::test]
async fn media_are_listed_also_without_a_running_service() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    upload(&service, "pics/a", "swirl.png", &file("swirl.png")).await;
    upload(&service, "pics/b", "sunrise.jpg", &file("sunrise.jpg")).await;
    upload(&service, "solo", "swirl.png", &file("swirl.png")).await;
    let with_service = output_of(&installation, &["ls", "-q"]).await;
    assert!(service.stop().await.success());

    let paths = output_of(&installation, &["ls", "-q"]).await;
    assert_eq!(paths, "solo\npics/b\npics/a\n");
    assert_eq!(paths, with_service);
    let table = output_of(&installation, &["ls", "pics", "--sort", "key"]).await;
    let lines: Vec<&str> = table.lines().collect();
    assert_eq!(lines.len(), 3, "{table}");
    assert!(
        lines[1].starts_with("pics/a") && lines[1].ends_with("swirl.png"),
        "{table}"
    );
    assert!(
        lines[1].contains("image/png") && lines[1].contains(" KiB"),
        "{table}"
    );
    let media = json_lines(&output_of(&installation, &["ls", "pics/b", "--json"]).await);
    assert_eq!(media.len(), 1);
    assert_eq!(media[0]["attributes"]["filename"], "sunrise.jpg");
    let paths = output_of(&installation, &["ls", "mime_type=image/jpeg", "-q"]).await;
    assert_eq!(paths, "pics/b\n");
}

#[tokio::test]
async fn a_list_longer_than_a_page_is_read_to_its_end() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    for n in 0..1_005 {
        let arguments =
            json!({ "url": "http://origin.invalid/", "resource": "r", "key": n.to_string() });
        service
            .create_job(&arguments, json!({ "scheduled_at": FAR_FUTURE }))
            .await;
    }
    let ids = output_of(&installation, &["jobs", "-q"]).await;
    let ids: std::collections::BTreeSet<&str> = ids.lines().collect();
    assert_eq!(ids.len(), 1_005);
    let output = installation.command(&["jobs"]).output().await.unwrap();
    assert_eq!(
        String::from_utf8(output.stdout).unwrap().lines().count(),
        51
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("the first 50"), "{said}");
    let output = installation.command(&["signal", "cancel", "status=scheduled", "-q"]);
    let output = { output }.output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let counted = output_of(&installation, &["jobs", "status=cancelled", "--count"]).await;
    assert_eq!(counted.trim(), "1005");
    assert!(service.stop().await.success());
}
