//! `media import`, `media demo`, and two services on one data directory.

use std::{process::Output, time::Duration};

use media_testkit::{
    free_port, nginx::Nginx, origin::FaultyOrigin, service::Installation, wait_until,
};
use serde_json::Value;

use crate::fixture::{MEDIA, file};

#[path = "commands/files.rs"]
mod files;
#[path = "commands/help.rs"]
mod help;
#[path = "commands/import_list.rs"]
mod import_list;
#[path = "commands/interruption.rs"]
mod interruption;
#[path = "commands/jobs.rs"]
mod jobs;
#[path = "commands/lists.rs"]
mod lists;

/// Returns what a command prints on standard output. It must succeed.
async fn output_of(installation: &Installation, arguments: &[&str]) -> String {
    let output = installation.command(arguments).output().await.unwrap();
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Returns what a command prints on standard error. It must fail with this exit code.
async fn error_of(installation: &Installation, arguments: &[&str], code: i32) -> String {
    let output = installation.command(arguments).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
    assert!(!said.is_empty(), "{arguments:?}");
    said
}

/// Parses lines of JSON.
fn json_lines(text: &str) -> Vec<Value> {
    let lines = text.lines().map(serde_json::from_str);
    lines.map(Result::unwrap).collect()
}

fn records(output: &Output) -> Vec<Value> {
    serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter::<Value>()
        .map(Result::unwrap)
        .collect()
}

#[tokio::test]
async fn import_prints_records_and_fails_if_any_import_failed() {
    let (nginx, origin) = (Nginx::start().await, FaultyOrigin::start().await);
    let installation = Installation::new(MEDIA);
    nginx.add("swirl.png", &file("swirl.png"));
    nginx.add("sunrise.jpg", &file("sunrise.jpg"));
    let (one, two, broken) = (
        nginx.url("swirl.png"),
        nginx.url("sunrise.jpg"),
        origin.url("status/404"),
    );

    let output = installation
        .command(&["import", &one, &two, "--resource", "pics"])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let found = records(&output);
    assert_eq!(found.len(), 2);
    assert_eq!(found[0]["attributes"]["filename"], "swirl.png");
    assert_eq!(found[1]["attributes"]["filename"], "sunrise.jpg");
    assert_eq!(found[1]["attributes"]["resource"], "pics");
    let lines = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        lines.contains("imported swirl.png (image/png,"),
        "a line each: {lines}"
    );

    let output = installation
        .command(&["import", &broken, &one])
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(records(&output).len(), 1, "what succeeded is printed");
    let lines = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        lines.contains("404") && lines.contains("origin_not_found"),
        "{lines}"
    );

    for bad in [
        vec!["import"],
        vec!["import", "not a URL"],
        vec!["import", &one, &two, "--key", "k"],
        vec!["import", &one, "--resource", "../x"],
        vec!["import", &one, "--server", "http://127.0.0.1:9"],
    ] {
        let output = installation.command(&bad).output().await.unwrap();
        assert!(!output.status.success(), "{bad:?}");
        assert!(!output.stderr.is_empty(), "{bad:?}");
        assert!(output.stdout.is_empty(), "{bad:?}");
    }
}

#[tokio::test]
async fn import_uses_the_running_service() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    nginx.add("swirl.png", &file("swirl.png"));
    let url = nginx.url("swirl.png");
    let service = installation.serve().await;
    let output = installation
        .command(&["import", &url, "--key", "k"])
        .output()
        .await
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(service.media("imports/k").await["filename"], "swirl.png");

    // A client on another machine knows only the address of the service.
    let elsewhere = Installation::new(MEDIA);
    let arguments = ["import", &url, "--key", "far", "--server", &service.url("")];
    let output = elsewhere.command(&arguments).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(service.media("imports/far").await["filename"], "swirl.png");
    assert!(!elsewhere.directory().join("data").exists());
}

#[tokio::test]
async fn a_second_service_on_the_same_data_is_refused() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let output = installation
        .command(&["serve", "--listen", "127.0.0.1:0"])
        .output()
        .await
        .unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("another service uses this data directory"),
        "{said}"
    );
    assert!(said.contains(&service.url("")), "{said}");

    // The lock is released when its holder is killed.
    service.kill().await;
    let again = installation.serve().await;
    assert!(again.stop().await.success());
}

#[tokio::test]
async fn all_configuration_mistakes_are_reported_at_once() {
    let installation = Installation::new(MEDIA)
        .with("MEDIA_LISTEN", "0.0.0.0:8080")
        .with("MEDIA_MAX_BYTES", "lots");
    let output = installation.command(&["serve"]).output().await.unwrap();
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        said.contains("MEDIA_LISTEN") && said.contains("MEDIA_MAX_BYTES"),
        "{said}"
    );
}

#[tokio::test]
async fn the_demonstration_imports_its_pictures_and_keeps_serving() {
    let installation = Installation::new(MEDIA);
    let address = format!("127.0.0.1:{}", free_port());
    let mut demo = installation
        .command(&["demo", "--listen", &address])
        .spawn()
        .unwrap();
    let http = media_testkit::http_client();
    let url = format!("http://{address}/medias/files/demo/swirl.png");
    wait_until(
        "the picture is there",
        Duration::from_secs(30),
        async || {
            let answer = http.get(&url).send().await.ok()?;
            (answer.bytes().await.ok()? == file("swirl.png")).then_some(())
        },
    )
    .await;
    demo.kill().await.unwrap();
}
