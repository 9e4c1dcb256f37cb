//! The transcripts in the README, executed in one shell against a service.

use std::process::Stdio;

use media_testkit::{service::Installation, tokens::SIGNING_KEY};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::fixture::MEDIA;

/// A command of the README and its expected output, in which `…` matches any text.
struct Transcript {
    command: String,
    expected: String,
}

fn transcripts(readme: &str) -> Vec<Transcript> {
    let mut found: Vec<Transcript> = Vec::new();
    let mut inside = false;
    for line in readme.lines() {
        match (line, inside) {
            ("```console", _) => inside = true,
            ("```", _) => inside = false,
            (line, true) => match (line.strip_prefix("$ "), found.last_mut()) {
                (Some(command), _) => found.push(Transcript {
                    command: command.to_owned(),
                    expected: String::new(),
                }),
                (None, Some(last)) => last.expected.push_str(line),
                (None, None) => panic!("{line} comes before any command"),
            },
            _ => {}
        }
    }
    found
}

/// Returns whether a text matches an expected one, in which `…` matches any text.
fn fits(text: &str, expected: &str) -> bool {
    let mut rest = text;
    for (n, part) in expected.split('…').enumerate() {
        match rest.find(part) {
            Some(0) => rest = &rest[part.len()..],
            Some(at) if n > 0 => rest = &rest[at + part.len()..],
            _ => return false,
        }
    }
    rest.is_empty() || expected.ends_with('…')
}

#[tokio::test]
async fn the_transcripts_in_the_readme_are_right() {
    const MARK: &str = "=====8<=====";
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let transcripts = transcripts(&std::fs::read_to_string(readme).unwrap());
    assert!(transcripts.len() > 20, "{} transcripts", transcripts.len());
    let installation = Installation::new(MEDIA).with("MEDIA_URL_SIGNING_KEY", SIGNING_KEY);
    let service = installation.serve().await;
    let commands: Vec<&str> = transcripts.iter().map(|t| t.command.as_str()).collect();
    let script = commands.join(&format!("\nprintf '%s' '{MARK}'\n"));
    let mut shell = Command::new("sh")
        .current_dir(installation.directory())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let script = script.replace("http://127.0.0.1:8080", &service.url(""));
    let mut input = shell.stdin.take().unwrap();
    input.write_all(script.as_bytes()).await.unwrap();
    drop(input);
    let limit = std::time::Duration::from_mins(1);
    let output = tokio::time::timeout(limit, shell.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    let printed = String::from_utf8(output.stdout).unwrap();
    let printed: Vec<String> = printed
        .split(MARK)
        .map(|text| text.lines().collect::<Vec<_>>().concat())
        .collect();
    assert_eq!(printed.len(), transcripts.len());
    for (transcript, printed) in transcripts.iter().zip(&printed) {
        assert!(
            fits(printed, &transcript.expected),
            "$ {}\nprinted\n{printed}\nwhere the README has\n{}",
            transcript.command,
            transcript.expected
        );
    }
}

#[test]
fn a_different_transcript_does_not_match() {
    assert!(fits("abc", "abc") && fits("abc", "a…c") && fits("abc", "…") && fits("abc", "ab…"));
    assert!(!fits("abc", "ab") && !fits("abc", "b…") && !fits("abc", "a…d") && !fits("", "a"));
}
