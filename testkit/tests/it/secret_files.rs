//! Secrets in files, which are read at start and again when they change.

use std::{path::Path, time::Duration};

use media_testkit::{
    cluster::{Cluster, Program},
    http_client, programs, tempdir,
    tokens::{claims, secret_token},
    wait_until,
};
use reqwest::StatusCode;

const LIMIT: Duration = Duration::from_secs(30);
const OLD: &str = "the old secret, which is long enough";
const NEW: &str = "the new secret, which is long enough";

async fn status(api: &Program, secret: &str) -> StatusCode {
    let token = secret_token(secret, &claims("ann"));
    let request = http_client().get(api.url("/jobs")).bearer_auth(token);
    request.send().await.unwrap().status()
}

/// Replaces a file by renaming another one, as orchestrators do.
fn replace(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, path).unwrap();
}

#[tokio::test]
async fn the_token_secret_is_reloaded_when_its_file_changes() {
    let directory = tempdir::create();
    let file = directory.path().join("secret");
    replace(&file, &format!("{OLD}\n"));
    let cluster = Cluster::start()
        .await
        .with("MEDIA_JWT_SECRET_FILE", file.to_str().unwrap());
    let api = cluster.api("api").await;
    assert_eq!(status(&api, OLD).await, StatusCode::OK);
    // An invalid secret changes nothing.
    replace(&file, "short");
    replace(&file, NEW);
    wait_until("the new secret is used", LIMIT, async || {
        (status(&api, NEW).await == StatusCode::OK).then_some(())
    })
    .await;
    assert_eq!(status(&api, OLD).await, StatusCode::UNAUTHORIZED);
    replace(&file, "short");
    let log = cluster.logs().join("api.log");
    wait_until("the mistake is logged", LIMIT, async || {
        let log = std::fs::read_to_string(&log).unwrap();
        log.contains("stays as it was").then_some(())
    })
    .await;
    assert_eq!(status(&api, NEW).await, StatusCode::OK);
}

#[tokio::test]
async fn new_connections_use_the_new_database_password() {
    let directory = tempdir::create();
    let file = directory.path().join("url");
    let cluster = Cluster::start().await;
    let url = |password: &str| cluster.postgres.url_of("media", password);
    cluster.postgres.require_password("media", "first");
    replace(&file, &url("first"));
    let migrated = std::process::Command::new(programs::path("media-migrate"))
        .arg("status")
        .env("DATABASE_URL_FILE", &file)
        .output()
        .unwrap();
    assert!(migrated.status.success(), "{migrated:?}");
    let cluster = cluster
        .without("DATABASE_URL")
        .with("DATABASE_URL_FILE", file.to_str().unwrap());
    let api = cluster.api("api").await;
    cluster.postgres.require_password("media", "second");
    replace(&file, &cluster.postgres.url_of("media", "second"));
    cluster.postgres.cut_connections();
    wait_until("the new password is used", LIMIT, async || {
        let answer = api.try_get("/readyz").await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
}

#[test]
fn unusable_secret_files_are_reported() {
    let directory = tempdir::create();
    let (empty, missing) = (
        directory.path().join("empty"),
        directory.path().join("missing"),
    );
    std::fs::write(&empty, "\n").unwrap();
    let start = |variables: &[(&str, &str)]| {
        let output = std::process::Command::new(programs::path("media-api"))
            .env_clear()
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(78));
        String::from_utf8(output.stderr).unwrap()
    };
    let said = start(&[("MEDIA_JWT_SECRET_FILE", empty.to_str().unwrap())]);
    assert!(said.contains("MEDIA_JWT_SECRET_FILE is empty"), "{said}");
    let said = start(&[("MEDIA_URL_SIGNING_KEY_FILE", missing.to_str().unwrap())]);
    assert!(
        said.contains("MEDIA_URL_SIGNING_KEY_FILE cannot be read"),
        "{said}"
    );
    let both = [
        ("MEDIA_JWT_SECRET", OLD),
        ("MEDIA_JWT_SECRET_FILE", empty.to_str().unwrap()),
    ];
    let said = start(&both);
    assert!(said.contains("cannot be set beside"), "{said}");
    assert!(!said.contains(OLD), "{said}");
}
