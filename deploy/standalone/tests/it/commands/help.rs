//! `--help`, the settings, and mistakes on the command line.

use media_testkit::{free_port, origin::FaultyOrigin, service::Installation};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use super::{MEDIA, error_of, output_of};

/// The commands with a help of their own.
const COMMANDS: [&str; 10] = [
    "serve", "import", "jobs", "ls", "get", "put", "rm", "signal", "events", "demo",
];

#[tokio::test]
async fn every_help_fits_a_terminal_of_80_columns() {
    let installation = Installation::new(MEDIA);
    for command in COMMANDS.iter().map(|name| vec![*name]).chain([vec![]]) {
        for flag in ["-h", "--help"] {
            let arguments = [command.clone(), vec![flag]].concat();
            let help = output_of(&installation, &arguments).await;
            for line in help.lines() {
                assert!(line.chars().count() <= 80, "{arguments:?}: {line}");
            }
        }
    }
}

#[tokio::test]
async fn settings_have_a_heading_and_are_listed_where_they_matter() {
    let installation = Installation::new(MEDIA);
    let help = output_of(&installation, &["--help"]).await;
    let (commands, settings) = help.split_once("Settings of the service:").unwrap();
    assert!(commands.contains("--version") && !commands.contains("--listen"));
    assert!(settings.contains("--listen") && settings.contains("MEDIA_MAX_BYTES"));
    for command in ["import", "jobs", "get"] {
        let help = output_of(&installation, &[command, "--help"]).await;
        assert!(!help.contains("--listen"), "{help}");
        assert!(help.contains("media --help lists them"), "{help}");
    }
    let help = output_of(&installation, &["-h"]).await;
    assert!(
        !help.contains("--listen") && help.lines().count() < 40,
        "{help}"
    );
}

#[tokio::test]
async fn settings_are_accepted_after_every_command() {
    let installation = Installation::new(MEDIA);
    let arguments = ["ls", "--database-url", "sqlite://elsewhere.db"];
    let said = error_of(&installation, &arguments, 1).await;
    assert!(said.contains("elsewhere.db"), "{said}");
}

#[tokio::test]
async fn unknown_variables_are_reported() {
    let installation = Installation::new(MEDIA)
        .with("MEDIA_LISTN", "127.0.0.1:1")
        .with("MEDIA_SOMETHING_ELSE", "1")
        .with("MEDIA_API_PORT_8080_TCP_ADDR", "10.0.0.1");
    let output = installation.command(&["ls"]).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("MEDIA_LISTN is not a setting"), "{said}");
    assert!(said.contains("did you mean MEDIA_LISTEN?"), "{said}");
    assert!(said.contains("MEDIA_SOMETHING_ELSE is not"), "{said}");
    // Kubernetes sets it beside a service of the name media-api.
    assert!(!said.contains("MEDIA_API_PORT"), "{said}");
    assert!(!said.contains("MEDIA_EGRESS_ALLOW is"), "{said}");
}

#[tokio::test]
async fn mistakes_leave_no_data_directory() {
    let installation = Installation::new(MEDIA);
    let occupied = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let occupied = occupied.local_addr().unwrap().to_string();
    for (arguments, code) in [
        (vec!["imports", "http://origin.test/"], 2),
        (vec!["import", "htp://origin.test/"], 2),
        (vec!["import", "origin.test/a.jpg"], 2),
        (
            vec!["import", "http://origin.test/", "--resource", "../x"],
            2,
        ),
        (vec!["import", "http://origin.test/", "--sha256", "abc"], 2),
        (
            vec![
                "import",
                "http://origin.test/",
                "--no-wait",
                "--report",
                "r",
            ],
            2,
        ),
        (vec!["import", "--list", "no-such-file"], 2),
        (vec!["jobs", "status"], 2),
        (vec!["jobs", "created_at__gte=-soon"], 2),
        (vec!["jobs", "status=failed"], 1),
        (vec!["ls"], 1),
        (vec!["ls", "--server", "ftp://origin.test"], 2),
        (vec!["get", "a/../b"], 2),
        (vec!["rm", ".."], 2),
        (vec!["put", "no-such-file", "a/b"], 73),
        (vec!["signal", "stop", "status=failed"], 2),
        (vec!["events", "not-an-id"], 2),
        (vec!["serve", "--listen", "here"], 78),
        (vec!["serve", "--listen", &occupied], 69),
    ] {
        let said = error_of(&installation, &arguments, code).await;
        assert!(!said.contains("panicked"), "{said}");
        let left = std::fs::read_dir(installation.directory()).unwrap().count();
        assert_eq!(left, 0, "{arguments:?} leaves files behind");
    }
}

#[tokio::test]
async fn errors_say_whether_the_service_or_the_origin_failed() {
    let (origin, installation) = (FaultyOrigin::start().await, Installation::new(MEDIA));
    let nobody = format!("127.0.0.1:{}", free_port());
    let said = error_of(&installation, &["ls", "--server", &nobody], 69).await;
    let expected = format!("the service at http://{nobody} cannot be reached");
    assert!(
        said.contains(&expected) && said.contains("refused"),
        "{said}"
    );

    // An origin is not the service.
    let other = origin.url("echo");
    let said = error_of(&installation, &["ls", "--server", &other], 69).await;
    assert!(said.contains("check the URL of --server"), "{said}");

    let missing = origin.url("status/404");
    let said = error_of(&installation, &["import", &missing], 1).await;
    assert!(said.contains("failed: the origin: "), "{said}");
}

#[tokio::test]
async fn a_missing_token_is_named() {
    let installation = crate::fixture::with_authentication();
    let service = installation.serve().await;
    for arguments in [vec!["ls"], vec!["jobs", "--token", "garbage"]] {
        let said = error_of(&installation, &arguments, 77).await;
        assert!(said.contains("--token or MEDIA_TOKEN"), "{said}");
    }
    assert!(service.stop().await.success());
}

#[tokio::test]
async fn the_first_message_says_where_the_data_is() {
    let installation = Installation::new(MEDIA);
    let mut command = installation.command(&["serve", "--listen", "127.0.0.1:0"]);
    let mut service = command
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(service.stderr.take().unwrap()).lines();
    let expected = installation.directory().join("data/media.db");
    let expected = format!("Its data is in {} and ", expected.display());
    while let Some(line) = lines.next_line().await.unwrap() {
        if line.contains(&expected) {
            assert!(line.contains("data/blobs"), "{line}");
            service.kill().await.unwrap();
            return;
        }
    }
    panic!("the service has not said {expected}");
}
