//! The transcripts in documents run as they are written: in one shell for each document, against a service. The
//! links between documents lead to pages and headings that exist.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use media_testkit::{
    nginx::Nginx,
    service::{Installation, Service},
};
use tokio::{io::AsyncWriteExt as _, process::Command};

use crate::fixture::{MEDIA, file};

/// The documents with transcripts, and the smallest number of commands in each.
const DOCUMENTS: [(&str, usize); 3] = [
    ("README.md", 6),
    ("docs/api.md", 20),
    ("docs/operations.md", 2),
];
/// The import in the README; the test serves a picture of its own instead.
const FIRST_IMPORT: &str = "https://www.rust-lang.org/static/images/rust-logo-blk.svg";

/// A command of a document, and the output that the document shows; `…` stands for anything.
struct Transcript {
    command: String,
    expected: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn transcripts(document: &str) -> Vec<Transcript> {
    let mut found: Vec<Transcript> = Vec::new();
    let mut inside = false;
    for line in document.lines() {
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

/// Whether a text is the expected one, where `…` stands for any text.
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

/// Runs commands in one shell; returns the output of each, without line breaks.
async fn run(commands: &[&str], directory: &Path, service: &Service, picture: &str) -> Vec<String> {
    const MARK: &str = "=====8<=====";
    let script = commands
        .join(&format!("\nprintf '%s' '{MARK}'\n"))
        .replace("http://127.0.0.1:8080", &service.url(""))
        .replace(FIRST_IMPORT, picture);
    let mut shell = Command::new("sh")
        .current_dir(directory)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut input = shell.stdin.take().unwrap();
    input.write_all(script.as_bytes()).await.unwrap();
    drop(input);
    let output = tokio::time::timeout(Duration::from_mins(1), shell.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    String::from_utf8(output.stdout)
        .unwrap()
        .split(MARK)
        .map(|text| text.lines().collect::<Vec<_>>().concat())
        .collect()
}

#[tokio::test]
async fn the_documents_show_what_happens() {
    let nginx = Nginx::start().await;
    nginx.add("rust-logo-blk.svg", &file("circle.svg"));
    let picture = nginx.url("rust-logo-blk.svg");
    for (document, fewest) in DOCUMENTS {
        let transcripts = transcripts(&std::fs::read_to_string(root().join(document)).unwrap());
        assert!(
            transcripts.len() >= fewest,
            "{document}: {} transcripts",
            transcripts.len()
        );
        let key = "a key that signs the tests' links";
        let installation = Installation::new(MEDIA).with("MEDIA_URL_SIGNING_KEY", key);
        let service = installation.serve().await;
        let commands: Vec<&str> = transcripts.iter().map(|t| t.command.as_str()).collect();
        let printed = run(&commands, installation.directory(), &service, &picture).await;
        assert_eq!(printed.len(), transcripts.len(), "{document}");
        for (transcript, printed) in transcripts.iter().zip(&printed) {
            assert!(
                fits(printed, &transcript.expected),
                "$ {}\nprinted\n{printed}\nbut {document} shows\n{}",
                transcript.command,
                transcript.expected
            );
        }
    }
}

#[test]
fn a_transcript_that_differs_does_not_fit() {
    assert!(fits("abc", "abc") && fits("abc", "a…c") && fits("abc", "…") && fits("abc", "ab…"));
    assert!(!fits("abc", "ab") && !fits("abc", "b…") && !fits("abc", "a…d") && !fits("", "a"));
}

/// The Markdown files at the root and in `docs`.
fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for directory in [".", "docs", "docs/decisions"] {
        for entry in std::fs::read_dir(root().join(directory)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// The lines of a page outside blocks of code.
fn prose(page: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    page.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// The anchors of a page's headings, as GitHub makes them.
fn anchors(page: &str) -> Vec<String> {
    prose(page)
        .filter(|line| line.starts_with('#'))
        .map(|heading| {
            let title = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = title
                .chars()
                .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            kept.collect::<String>().replace(' ', "-")
        })
        .collect()
}

/// The targets of the links of a page to other pages and headings.
fn targets(page: &str) -> Vec<String> {
    let text = prose(page).collect::<Vec<_>>().join("\n");
    let ends = text.split("](").skip(1);
    ends.filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://"))
        .map(ToOwned::to_owned)
        .collect()
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut links = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for target in targets(&text) {
            links += 1;
            let (path, anchor) = target.split_once('#').unwrap_or((target.as_str(), ""));
            let path = match path {
                "" => page.clone(),
                path => page.parent().unwrap().join(path),
            };
            let from = page.display();
            assert!(path.exists(), "{from} links to {target}");
            if !anchor.is_empty() {
                let linked = anchors(&std::fs::read_to_string(&path).unwrap());
                assert!(
                    linked.iter().any(|known| known == anchor),
                    "{from} links to {target}"
                );
            }
        }
    }
    assert!(links > 80, "{links} links");
}
