//! Ctrl-C during `media import`, and its bars on a terminal.

use std::{
    process::{Output, Stdio},
    time::{Duration, Instant},
};

use media_testkit::{bytes::write_large, nginx::Nginx, service::Installation, wait_until};
use tokio::process::{Child, Command};

use super::{MEDIA, json_lines, output_of};

/// The longest time that a command may take after Ctrl-C, on a slow machine. The imports would take far longer.
const STOP_LIMIT: Duration = Duration::from_secs(5);
/// The exit code after Ctrl-C.
const INTERRUPTED: Option<i32> = Some(130);

/// Sends SIGINT to a command and waits until it has ended.
async fn interrupt(child: Child) -> (Output, Duration) {
    let pid = child.id().unwrap().to_string();
    let started = Instant::now();
    let sent = Command::new("kill").args(["-INT", &pid]).status().await;
    assert!(sent.unwrap().success());
    let output = child.wait_with_output().await.unwrap();
    (output, started.elapsed())
}

/// Waits until nginx has sent a part of a file: the storage has a file that grows.
async fn wait_for_bytes(installation: &Installation) {
    wait_until("bytes are stored", Duration::from_secs(20), async || {
        let directory = installation.directory().join("data/blobs");
        directory.exists().then_some(())?;
        let mut files = installation.stored_files().into_iter();
        files
            .any(|file| file.metadata().is_ok_and(|file| file.len() > 0))
            .then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_interrupted_import_of_its_own_is_cancelled_soon() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    write_large(&nginx.path("large"), 200);
    let url = nginx.url("slow/large");
    let arguments = ["import", &url, &url, "--report", "report.csv"];
    let mut command = installation.command(&arguments);
    let import = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_bytes(&installation).await;
    let (output, elapsed) = interrupt(import).await;
    assert_eq!(output.status.code(), INTERRUPTED, "{output:?}");
    assert!(elapsed < STOP_LIMIT, "{elapsed:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("2 cancelled") && said.contains("were cancelled"),
        "{said}"
    );
    let jobs = json_lines(&output_of(&installation, &["jobs", "--json"]).await);
    assert_eq!(jobs.len(), 2);
    for job in jobs {
        assert_eq!(job["attributes"]["status"], "cancelled", "{job}");
    }

    // The next import in the directory is as fast as the first.
    nginx.add("small", b"small");
    let started = Instant::now();
    output_of(&installation, &["import", &nginx.url("small")]).await;
    assert!(
        started.elapsed() < Duration::from_secs(3),
        "{:?}",
        started.elapsed()
    );
}

#[tokio::test]
async fn an_interrupted_import_on_a_service_goes_on() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    write_large(&nginx.path("large"), 12);
    let service = installation.serve().await;
    let (url, server) = (nginx.url("slow/large"), service.url(""));
    let arguments = [
        "import",
        &url,
        "--server",
        &server,
        "--report",
        "report.csv",
    ];
    let mut command = installation.command(&arguments);
    let import = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    wait_for_bytes(&installation).await;
    let (output, elapsed) = interrupt(import).await;
    assert_eq!(output.status.code(), INTERRUPTED, "{output:?}");
    assert!(elapsed < STOP_LIMIT, "{elapsed:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    let id = output_of(&installation, &["jobs", "-q"]).await;
    let advice = format!("media events {} --server {server}", id.trim());
    assert!(said.contains(&advice), "{said}");

    // The report names the job, which the same command follows instead of a new one.
    let output = installation.command(&arguments).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(output_of(&installation, &["jobs", "-q"]).await, id);
    assert_eq!(
        service.job(id.trim()).await["attributes"]["status"],
        "succeeded"
    );
    assert!(service.stop().await.success());
}

#[tokio::test]
async fn bars_fit_a_terminal_of_80_columns_and_urls_are_shown_in_full() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    // The service reports progress once a second, and nginx sends 4 MB a second.
    write_large(&nginx.path("large"), 12);
    let long = format!("{}.bin", "a-very-long-name-of-a-file".repeat(4));
    std::fs::copy(nginx.path("large"), nginx.path(&long)).unwrap();
    let missing = nginx.url("missing?token=s3cret");
    let urls = [nginx.url("slow/large"), nginx.url(&format!("slow/{long}"))];
    let import = format!(
        "stty cols 80; {MEDIA} import {} {} {missing} -q",
        urls[0], urls[1]
    );
    let output = Command::new("script")
        .args(["-qec", &import, "/dev/null"])
        .current_dir(installation.directory())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("TERM", "xterm")
        .env("MEDIA_EGRESS_ALLOW", "127.0.0.1/32")
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let shown = String::from_utf8(output.stdout).unwrap();
    // A bar as wide as the terminal needs no line break after it.
    let shown = shown
        .replace("all imports", "\nall imports")
        .replace("a-very", "\na-very");
    let lines: Vec<String> = shown.split(['\r', '\n']).map(without_escapes).collect();
    for line in &lines {
        let is_bar = line.contains(" [");
        assert!(!is_bar || line.chars().count() <= 80, "{line}");
    }
    let has = |text: &str| lines.iter().any(|line| line.contains(text));
    assert!(
        has("large ") && has("all imports ") && has("/3"),
        "{shown:?}"
    );
    assert!(has("12.00 MiB") && has("1 failed"), "{shown:?}");
    assert!(has(&missing), "{shown:?}");
}

/// Removes the sequences that control a terminal.
fn without_escapes(line: &str) -> String {
    let mut shown = String::new();
    let mut characters = line.chars();
    while let Some(c) = characters.next() {
        if c == '\u{1b}' {
            characters.find(char::is_ascii_alphabetic);
        } else {
            shown.push(c);
        }
    }
    shown
}
