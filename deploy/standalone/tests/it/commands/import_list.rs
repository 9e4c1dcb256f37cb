//! `media import --list` and `--report`.

use std::process::Stdio;

use media_testkit::{nginx::Nginx, service::Installation};
use tokio::io::AsyncWriteExt as _;

use super::{MEDIA, error_of, json_lines, output_of};
use crate::fixture::file;

/// Writes a file into the directory of an installation.
fn write(installation: &Installation, name: &str, text: &str) {
    std::fs::write(installation.directory().join(name), text).unwrap();
}

/// Returns the records of a report, sorted by their lines, without the header.
fn report(installation: &Installation, name: &str) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(installation.directory().join(name)).unwrap();
    let mut lines = text.lines();
    assert_eq!(
        lines.next(),
        Some("line,url,resource,key,job_id,status,error,error_detail,size,sha256,mime_type")
    );
    let fields = |line: &str| line.split(',').map(str::to_owned).collect();
    let mut records: Vec<Vec<String>> = lines.map(fields).collect();
    records.sort_by_key(|record| record[0].parse::<usize>().unwrap());
    records
}

#[tokio::test]
async fn a_list_is_imported_reported_and_continued() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    nginx.add("swirl.png", &file("swirl.png"));
    nginx.add("sunrise.jpg", &file("sunrise.jpg"));
    let (one, two, late) = (
        nginx.url("swirl.png"),
        nginx.url("sunrise.jpg"),
        nginx.url("late.png"),
    );
    // As a spreadsheet program writes it where the comma separates decimals.
    let list =
        format!("\u{feff}url;key;public\r\n{one};a;TRUE\r\n{two};b;\r\n{late};c;\r\n{late};;\r\n");
    write(&installation, "list.csv", &list);
    let arguments = [
        "import",
        "--list",
        "list.csv",
        "--resource",
        "pics",
        "--report",
        "report.csv",
    ];
    let output = installation.command(&arguments).output().await.unwrap();
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        output.stdout.is_empty(),
        "records are printed with --json only"
    );
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("2 imported, 2 failed in "), "{said}");
    assert!(
        said.contains("2  origin_not_found, first in line 4"),
        "{said}"
    );
    let first = report(&installation, "report.csv");
    let states: Vec<(&str, &str, &str)> = first.iter().map(|r| (&*r[0], &*r[5], &*r[6])).collect();
    assert_eq!(
        states,
        [
            ("2", "succeeded", ""),
            ("3", "succeeded", ""),
            ("4", "failed", "origin_not_found"),
            ("5", "failed", "origin_not_found"),
        ]
    );
    assert_eq!(first[0][10], "image/png");

    // The missing file is there now: the same command imports nothing else.
    nginx.add("late.png", &file("swirl.png"));
    let output = installation.command(&arguments).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("2 imported, 0 failed, 2 imported before in "),
        "{said}"
    );
    let second = report(&installation, "report.csv");
    assert!(
        second.iter().all(|record| record[5] == "succeeded"),
        "{second:?}"
    );
    assert_eq!(second[0], first[0]);
    assert_eq!(second[3][3], first[3][3], "a generated key is kept");
    let media = json_lines(&output_of(&installation, &["ls", "pics", "--json"]).await);
    assert_eq!(media.len(), 4);
    let public = media
        .iter()
        .filter(|media| media["attributes"]["public"] == true);
    assert_eq!(public.count(), 1);

    // A report of failures is a list as well.
    let output = output_of(&installation, &["import", "--list", "report.csv", "--json"]).await;
    assert_eq!(json_lines(&output).len(), 4);
}

#[tokio::test]
async fn a_list_comes_from_standard_input() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    nginx.add("swirl.png", &file("swirl.png"));
    let mut command = installation.command(&["import", "--list", "-", "--json"]);
    let import = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut import = import.spawn().unwrap();
    let list = format!("# pictures\n{0}\n\n{0}?2\n", nginx.url("swirl.png"));
    let mut input = import.stdin.take().unwrap();
    input.write_all(list.as_bytes()).await.unwrap();
    drop(input);
    let output = import.wait_with_output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    let records = json_lines(&String::from_utf8(output.stdout).unwrap());
    assert_eq!(records.len(), 2);
    assert_ne!(
        records[0]["attributes"]["key"],
        records[1]["attributes"]["key"]
    );
}

#[tokio::test]
async fn an_invalid_list_imports_nothing_unless_asked_to() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    nginx.add("swirl.png", &file("swirl.png"));
    let one = nginx.url("swirl.png");
    write(
        &installation,
        "list.csv",
        &format!("url,size\n{one},\nhtp://x,\n{one},big\n"),
    );
    let said = error_of(&installation, &["import", "--list", "list.csv"], 2).await;
    assert!(
        said.contains("line 3: `url` must start with http"),
        "{said}"
    );
    assert!(
        said.contains("line 4: `size` must be a whole number"),
        "{said}"
    );
    assert!(!installation.directory().join("data").exists());
    let arguments = ["import", "--list", "list.csv", "--partial", "--json"];
    let output = output_of(&installation, &arguments).await;
    assert_eq!(json_lines(&output).len(), 1);

    write(
        &installation,
        "list.csv",
        &format!("url,colour\n{one},red\n"),
    );
    let said = error_of(&installation, &["import", "--list", "list.csv"], 2).await;
    assert!(said.contains("a column `colour`"), "{said}");
    let arguments = ["import", &one, "--report", "list.csv"];
    let said = error_of(&installation, &arguments, 2).await;
    assert!(said.contains("is not a report"), "{said}");
}

#[tokio::test]
async fn a_run_that_fails_at_its_start_keeps_the_rows_that_are_not_done() {
    let (nginx, installation) = (Nginx::start().await, Installation::new(MEDIA));
    nginx.add("a", b"a");
    let url = nginx.url("a");
    let header = "line,url,resource,key,job_id,status,error,error_detail,size,sha256,mime_type\n";
    let record = format!("1,{url},imports,generated,,unfinished,,,,,\n");
    let report = installation.directory().join("report.csv");
    std::fs::write(&report, format!("{header}{record}")).unwrap();
    let arguments = [
        "import",
        &url,
        "--resource",
        "imports",
        "--report",
        "report.csv",
    ];
    let nowhere = [&arguments[..], &["--storage-url", "file:/dev/null/blobs"]].concat();
    let failed = installation.command(&nowhere).output().await.unwrap();
    assert!(!failed.status.success(), "{failed:?}");
    let kept = std::fs::read_to_string(&report).unwrap();
    assert!(kept.contains(record.trim_end()), "{kept}");
    output_of(&installation, &arguments).await;
    let done = std::fs::read_to_string(&report).unwrap();
    let records: Vec<&str> = done.lines().skip(1).collect();
    assert!(
        matches!(&records[..], [only] if only.contains(",generated,") && only.contains(",succeeded,")),
        "{done}"
    );
}

#[tokio::test]
async fn the_flags_are_the_arguments_of_the_job() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let address = service.url("").replace("http://", "");
    let digest = "0".repeat(64);
    let arguments = [
        "import",
        "http://origin.invalid/a",
        "--no-wait",
        "-q",
        "--server",
        &address,
        "--resource",
        "r",
        "--key",
        "k",
        "--filename",
        "n.jpg",
        "--public",
        "--sha256",
        &digest,
        "--size",
        "7",
        "-H",
        "Accept: image/*",
        "--max-size",
        "1MiB",
        "--accept-type",
        "image/png,image/jpeg",
        "--retries",
        "3",
        "--priority",
        "-5",
        "--unicity",
        "u",
        "--scheduled-at",
        "+1h",
    ];
    let id = output_of(&installation, &arguments).await;
    let job = service.job(id.trim()).await;
    let attributes = &job["attributes"];
    assert_eq!(attributes["max_retries"], 3);
    assert_eq!(attributes["priority"], -5);
    assert_eq!(attributes["unicity"], "u");
    assert_eq!(attributes["status"], "scheduled");
    assert_eq!(
        attributes["arguments"],
        serde_json::json!({
            "url": "http://origin.invalid/a", "resource": "r", "key": "k", "filename": "n.jpg",
            "public": true, "sha256": digest, "size": 7, "headers": { "Accept": "[redacted]" },
            "max_bytes": 1_048_576, "accept_types": ["image/png", "image/jpeg"],
        })
    );
    // Nothing runs after the command without a service.
    assert!(service.stop().await.success());
    let arguments = ["import", "http://origin.invalid/a", "--no-wait"];
    let said = error_of(&installation, &arguments, 2).await;
    assert!(said.contains("needs a service"), "{said}");
}
