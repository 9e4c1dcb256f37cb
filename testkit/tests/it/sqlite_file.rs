//! Exclusive use of an SQLite file, and `media-migrate check`.

use std::process::{Command, Output};

use media_testkit::{programs, service::Installation};
use sea_orm::ConnectionTrait as _;

fn installation() -> Installation {
    Installation::new(programs::path("media").to_str().unwrap())
}

/// Runs a program on the database of an installation until it ends by itself.
fn run(installation: &Installation, program: &str, arguments: &[&str]) -> Output {
    let data = installation.directory().join("data");
    Command::new(programs::path(program))
        .args(arguments)
        .env_clear()
        .env(
            "DATABASE_URL",
            format!("sqlite://{}", installation.database().display()),
        )
        .env(
            "MEDIA_STORAGE_URL",
            format!("file:{}", data.join("blobs").display()),
        )
        .env("MEDIA_LISTEN", "127.0.0.1:0")
        .output()
        .unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[tokio::test]
async fn a_second_writer_is_refused_with_a_message() {
    let installation = installation();
    let service = installation.serve().await;
    let cases: [(&str, &[&str]); 5] = [
        ("media-api", &[]),
        ("media-worker", &[]),
        ("media-migrate", &["up"]),
        ("media-migrate", &["down"]),
        ("media-migrate", &["check", "--repair"]),
    ];
    for (program, arguments) in cases {
        let refused = run(&installation, program, arguments);
        assert!(!refused.status.success(), "{program} {arguments:?}");
        let said = said(&refused);
        assert!(said.contains("another program uses"), "{program}: {said}");
    }
    // Commands that only read are allowed.
    for arguments in [["status"], ["check"]] {
        let output = run(&installation, "media-migrate", &arguments);
        assert!(output.status.success(), "{}", said(&output));
    }
    service.stop().await;
    assert!(
        run(&installation, "media-migrate", &["up"])
            .status
            .success()
    );
}

#[tokio::test]
async fn violations_are_reported_and_repaired() {
    let installation = installation();
    installation.serve().await.stop().await;
    let url = format!("sqlite://{}", installation.database().display());
    let database = sea_orm::Database::connect(url).await.unwrap();
    let miscount = "INSERT INTO project_usage VALUES ('press', 7)";
    database.execute_unprepared(miscount).await.unwrap();
    database.close().await.unwrap();

    let found = run(&installation, "media-migrate", &["check"]);
    assert_eq!(found.status.code(), Some(1));
    assert!(
        said(&found).contains("press: 7 counted, 0 charged"),
        "{}",
        said(&found)
    );
    let repaired = run(&installation, "media-migrate", &["check", "--repair"]);
    assert!(repaired.status.success(), "{}", said(&repaired));
    let found = run(&installation, "media-migrate", &["check"]);
    assert!(found.status.success(), "{}", said(&found));
}
